"""Which licence weights have that were made from a base on the Hub: the base's own, as its card states it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import HubError, InputError
from ..hub import Hub, plain
from ..hub_errors import retried

# What some licences ask of everyone who passes a derived model on.
NOTICES = {
    "llama": "Built with Llama.",
    "gemma": "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms.",
    "cc-by-nc": "Commercial use is not permitted.",
    "qwen-research": "Commercial use is not permitted.",
}


@dataclass(frozen=True)
class Licence:
    """The Hub's key, and name and address where the key is ``other``; ``notice`` must stand on the card."""

    id: str
    name: str | None = None
    link: str | None = None

    @property
    def notice(self) -> str:
        named = f"{self.id} {self.name or ''}".lower()
        return " ".join(text for key, text in NOTICES.items() if key in named)


def licence_of(hub: Hub, base: str, *, must_exist: bool = False) -> Licence | None:
    """The licence on a model's card, read from the mirror where there is one; None when there is no card to read.

    With ``must_exist`` raises ``InputError`` when a Hub of other people's models knows no such model.
    """
    try:
        with plain(hub, f"reading the card of {base}"):
            card = retried(lambda: hub.reader.model_info(base)).card_data
    except HubError as error:
        if must_exist and (hub.mirror or not hub.rehearsal) and _is_unknown(error.__cause__):
            raise InputError(f"the files name the base '{base}', which is not on the Hub: pass --base") from error
        return None  # a rehearsal Hub has no other people's models, and a gated base shows no card
    values: dict[str, Any] = card.to_dict() if card else {}
    name = values.get("license")
    return Licence(name, values.get("license_name"), values.get("license_link")) if isinstance(name, str) else None


def _is_unknown(error: BaseException | None) -> bool:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    return isinstance(error, RepositoryNotFoundError) and not isinstance(error, GatedRepoError)
