"""`up.json` and `up.lock` in the data directory: one `up` at a time, and where to find it."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from streams.errors import SpineError
from streams.settings import Settings


@dataclass(frozen=True)
class Running:
    """An `up` that runs: its addresses."""

    pid: int
    api: str
    worker: str
    bootstrap: str
    provider: str


class AlreadyUp(SpineError):
    """Another `up` holds this data directory; the message says which one and where it listens."""


@dataclass(frozen=True)
class UpFile:
    """Written by whoever holds the lock."""

    path: Path

    def write(self, running: Running) -> None:
        """Whole or not at all."""
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(asdict(running)))
        new.replace(self.path)


@contextmanager
def locked(settings: Settings) -> Iterator[UpFile]:
    """Held as long as `up` lives; the kernel lets go of it however it dies. Raises AlreadyUp."""
    folder = settings.data()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / "up.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise SpineError(f"Cannot write to {folder} ({error.strerror}). Choose another GENAI_DATA_DIR.") from error
    file = UpFile(folder / "up.json")
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyUp(_who(settings)) from None
        yield file
        file.path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def find(settings: Settings) -> Running | None:
    """The `up` that runs on this data directory; None when there is none, or it is not that far yet."""
    folder = settings.data()
    if not (folder / "up.lock").exists():
        return None
    with (folder / "up.lock").open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return _read(folder)
    return None


def _read(folder: Path) -> Running | None:
    try:
        return Running(**json.loads((folder / "up.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _who(settings: Settings) -> str:
    found = _read(settings.data())
    told = f" (pid {found.pid}, API at {found.api})" if found else ""
    return (
        f"`genai-spine up` runs already on {settings.data()}{told}. Use that one, stop it, "
        "or choose another GENAI_DATA_DIR."
    )
