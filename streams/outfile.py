"""Results in a file of JSON Lines, written as they come; a run that was broken off goes on in the same file."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from streams.errors import SpineError
from streams.submit import Identity

_SUCCEEDED = "succeeded"
_BEGINS = b'{"id":'
"""How every result begins, so that a first line that was torn is known from a file that is not ours."""


class OutFile:
    """Open for more. `done`: the identities that it holds a succeeded result of."""

    def __init__(self, file: BinaryIO, done: set[Identity]) -> None:
        self.done = done
        self._file = file

    def write(self, result: dict[str, Any]) -> None:
        """One line, handed to the system at once."""
        self._file.write(orjson.dumps(result) + b"\n")
        self._file.flush()


@contextmanager
def opened(path: Path) -> Iterator[OutFile]:
    """Made if it is not there. Raises SpineError, before anything was written, for a file that is not one of ours."""
    try:
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644), "r+b")
    except OSError as error:
        raise SpineError(f"Cannot write {path} ({error.strerror}). Name another --out file.") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SpineError(f"Another submit writes {path}. Wait for it, or name another --out file.") from None
        yield OutFile(file, _read(file, path))


def _read(file: BinaryIO, path: Path) -> set[Identity]:
    """Leaves the file at the end of its last whole line: the run before may have died in the middle of the next."""
    done: set[Identity] = set()
    end = 0
    for number, line in enumerate(file, 1):
        if not line.endswith(b"\n") and (number > 1 or line.startswith(_BEGINS)):
            break
        try:
            result = orjson.loads(line)
            identity = (result["tenant"], result["operation"], result["id"])
            if result["status"] == _SUCCEEDED:
                done.add(identity)
        except (orjson.JSONDecodeError, TypeError, KeyError):
            words = f"{path} holds other things than results (line {number})"
            raise SpineError(f"{words}; nothing was written. Name another --out file.") from None
        end += len(line)
    file.seek(end)
    file.truncate()
    return done
