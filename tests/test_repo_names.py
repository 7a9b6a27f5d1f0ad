"""Names of repositories: what the Hub's own client takes, and what the Hub refuses although the client does not."""

import pytest
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from countdown_r1.errors import InputError
from countdown_r1.publish.links import check_names, every_link
from countdown_r1.repo_names import check_repo_id, is_repo_id

GOOD = ["me/Countdown-r1-zero", "a/b", "me_2/x.y_z-1", "me/" + "r" * 96, "me/0", "me/_x"]
REFUSED_BY_BOTH = ["me/my run", "me/a--b", "me/a..b", "me/-run", "me/run-", "me/.run", "me/run.", "me/run.git"]
REFUSED_BY_BOTH += ["me/" + "r" * 97, "a/b/c", "me/", "me/a:b", "me/a\\b", "me/run\n", "me/题目", "我/x", "me/naïve"]


@pytest.mark.parametrize("repo_id", GOOD)
def test_a_name_that_the_client_takes_is_taken(repo_id: str) -> None:
    validate_repo_id(repo_id)
    assert is_repo_id(repo_id)


@pytest.mark.parametrize("repo_id", REFUSED_BY_BOTH)
def test_a_name_that_the_client_refuses_is_refused_with_the_rule_and_the_fix(repo_id: str) -> None:
    with pytest.raises(HFValidationError):
        validate_repo_id(repo_id)
    with pytest.raises(InputError, match=r"(?s)letters, digits, '-', '_' and '.', at most 96.*: do this instead"):
        check_repo_id(repo_id, "do this instead")


@pytest.mark.parametrize("repo_id", ["alone", "me/x.GIT", "me/x.ipynb"])
def test_what_the_client_lets_through_and_the_hub_refuses_is_refused_here(repo_id: str) -> None:
    validate_repo_id(repo_id)
    assert not is_repo_id(repo_id)


def test_the_longest_of_a_runs_names_decides() -> None:
    check_names(every_link("me", "r" * 71, "Countdown-r1-zero"))
    with pytest.raises(InputError, match=r"-evaluation'.*rename the folder of the run"):
        check_names(every_link("me", "r" * 73, "Countdown-r1-zero"))
    with pytest.raises(InputError, match=r"'me/my data'.*publish\.dataset_name"):
        check_names(every_link("me", "run", "my data"))
