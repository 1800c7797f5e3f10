"""Whether a worker lives, on SQLite: its life is a lock on a file, which the kernel lets go when it dies.

A heartbeat would call a laptop that slept dead, and a clock that jumped kills nobody here. The files stand beside the
database; PostgreSQL needs none of this, it has one clock and `store.ledger.life.silent`.
"""

import fcntl
from collections.abc import Iterable
from pathlib import Path
from typing import IO


class Life:
    """Held as long as the process lives. Whoever made it closes it."""

    def __init__(self, folder: Path, worker: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{worker}.lock"
        self._file: IO[str] = self._path.open("w")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def close(self) -> None:
        """Leave: from now on we count as dead."""
        self._path.unlink(missing_ok=True)
        self._file.close()


def dead(folder: Path, workers: Iterable[str]) -> list[str]:
    """Those of `workers` that nobody's lock stands for any more."""
    return [worker for worker in workers if not _lives(folder / f"{worker}.lock")]


def _lives(path: Path) -> bool:
    try:
        file = path.open("r+")
    except FileNotFoundError:
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    path.unlink(missing_ok=True)
    return False
