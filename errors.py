"""Every error a user can meet.

CountdownError
├── InputError        a puzzle, a file, a flag or a recipe that cannot be used as given
├── StageError        a stage cannot start or finish (folder exists, manifest missing, checkpoint corrupt)
├── TrainingError     training cannot go on (all rewards zero, wrong world size)
└── HubError          the Hub, real or rehearsal, refused or could not be reached

A message says what is wrong, where, and how to fix it. The command line catches this tree and nothing
else: one line on stderr, exit status 1. What a model writes is never an error; it is a ``Verdict``.
"""


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
