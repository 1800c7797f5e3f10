"""What goes wrong at the doors, told to a person.

SpineError                     one sentence, and what to do next; the CLI prints it without a traceback
├── broker.errors.*            see streams/broker
└── (each door derives its own)
"""

from enum import IntEnum


class Exit(IntEnum):
    """What the exit code of every command says; docs/reference/cli.md has the same table."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_RUNNING = 3
    INTERRUPTED = 130


class SpineError(Exception):
    """The message is for the user: what happened, then what to do next. `exit_code` is the command's."""

    exit_code: int = Exit.FAILED

    def __init__(self, message: str, *, exit_code: int | None = None) -> None:
        super().__init__(message)
        if exit_code is not None:
            self.exit_code = exit_code
