"""Every error a user can meet.

CountdownError
├── InputError        a puzzle, a file, a flag or a recipe that cannot be used as given
├── StageError        a stage cannot start or finish (folder exists, manifest missing, checkpoint corrupt)
├── TrainingError     training cannot go on (all rewards zero, wrong world size)
└── HubError          the Hub, real or rehearsal, refused or could not be reached

A message says what is wrong, where, and how to fix it. The command line catches this tree and nothing
else: one line on stderr, exit status 1. What a model writes is never an error; it is a ``Verdict``.
"""

import errno
import re

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_SPACE_TEXT = re.compile(
    r"No space left on device|Disk quota exceeded|File too large|os error (?:28|122|27)\b"
    r"|unexpected pos \d+ vs \d+|basic_ios::clear: iostream error"  # all that torch.save says of it
)


class CountdownError(Exception):
    """Base of all errors raised on purpose by countdown-r1."""


class InputError(CountdownError):
    """Something the user gave cannot be used; the message names it and the fix."""


class StageError(CountdownError):
    """A stage's folder or its predecessor's is not in the state the stage needs."""


class TrainingError(CountdownError):
    """Training would go on without learning, or cannot go on at all."""


class HubError(CountdownError):
    """A Hub call failed for a reason the user can act on."""


def disk_is_full(error: BaseException | None) -> bool:
    """Whether an error, or one it was raised from, says that nothing more can be written."""
    while error is not None:
        if getattr(error, "errno", None) in _NO_SPACE or _NO_SPACE_TEXT.search(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False
