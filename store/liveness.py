"""Whether a worker lives.

On SQLite its life is a lock on a file, which the kernel lets go when it dies: a heartbeat would call a laptop that slept
dead, and a clock that jumped kills nobody there. The files stand beside the database. On PostgreSQL it is a heartbeat,
which others watch; see `Sight`.
"""

import fcntl
from collections.abc import Iterable, Mapping
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


_WATCHED = 0.75
"""So much of a lease: a heart that lives beats three times in one, and twice although the database was away between."""
_BLINK_S = 1.0


class Sight:
    """Whose heart has stopped, as one process sees it.

    Silent is whoever has not beaten for a lease by the database's clock and has been watched not to beat for most of one by
    our own, without looking away. Silence that nobody watched says nothing: the database was away, its clock was set, or
    we were stopped ourselves, and those who live beat again a moment later.
    """

    def __init__(self, lease_s: float) -> None:
        self.lease_s = lease_s
        self._blink_s = max(lease_s / 3, _BLINK_S)
        self._looked = float("-inf")
        self._seen: dict[str, tuple[float, float]] = {}
        """Worker to its last beat and when we first saw that one."""

    def silent(self, beats: Mapping[str, float], now: float, at: float) -> dict[str, float]:
        """Those of `beats` (worker to its last beat) to bury. `now`: the database's time, `at`: our monotonic one."""
        if at - self._looked > self._blink_s:
            self._seen.clear()
        self._looked = at
        self._seen = {worker: self._known(worker, beat, at) for worker, beat in beats.items()}
        return {worker: beat for worker, (beat, since) in self._seen.items() if self._stopped(beat, now, at - since)}

    def _known(self, worker: str, beat: float, at: float) -> tuple[float, float]:
        seen = self._seen.get(worker)
        return seen if seen is not None and seen[0] == beat else (beat, at)

    def _stopped(self, beat: float, now: float, watched_s: float) -> bool:
        """A whole lease under our eyes is enough: the database's clock may have been set back."""
        return watched_s >= self.lease_s or (now - beat > self.lease_s and watched_s >= self.lease_s * _WATCHED)
