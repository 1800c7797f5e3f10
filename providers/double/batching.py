"""The double's batches, whatever format they came in: when they end, and what becomes of their calls.

`Room.takes_s`: how long a batch takes; None: until somebody calls `finish`, as `POST /_batches/finish` does. `ack_s`: how long until
a batch that was made is acknowledged. A call whose prompt holds `[fake:batch_expired]` is not run before its batch expires,
`[fake:batch_failed]` meets a failure of the server; both cost nothing. Calls are counted as all others, by the id in the batch.
"""

import asyncio
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from providers.double.http1 import Response

How = Literal["completed", "expired", "cancelled", "failed"]
Unrun = Literal["expired", "cancelled", "failed"]
Run = Callable[[str, str, bytes], Response]
"""(path, id, body) of a call."""

_UNRUN = re.compile(rb"\[fake:batch_(expired|failed)\]")


@dataclass(slots=True)
class Batch:
    """One. `outcomes`: once it has ended, the answer to each call, or why it was not run."""

    id: str
    format: str
    path: str
    items: Sequence[tuple[str, bytes]]
    made_at: float
    told: Mapping[str, Any]
    """What its format must give back."""
    how: How | None = None
    """None: it has not ended."""
    stopping: bool = False
    why: str = ""
    """Why it failed as a whole."""
    ended_at: float | None = None
    outcomes: dict[str, Response | Unrun] = field(default_factory=dict)
    timer: asyncio.TimerHandle | None = None

    def count(self, which: Callable[[Response | Unrun], bool]) -> int:
        return sum(1 for each in self.outcomes.values() if which(each))


class Room:
    """All batches of a server. `files`: what was uploaded and what batches have left, by their ids."""

    def __init__(self, run: Run) -> None:
        self.takes_s: float | None = 0.0
        self.ack_s = 0.0
        self.refuses = False
        """Nothing is taken."""
        self.run_share = 1.0
        """Of its calls so many are run before a batch expires or is stopped."""
        self.batches: dict[str, Batch] = {}
        self.files: dict[str, bytes] = {}
        self.written: set[str] = set()
        """Batches whose files were written."""
        self._run = run
        self._made = 0

    def name(self, kind: str) -> str:
        self._made += 1
        return f"{kind}{self._made:06d}"

    def make(
        self, id_: str, format_: str, path: str, items: Sequence[tuple[str, bytes]], told: Mapping[str, Any]
    ) -> Batch:
        """It begins at once."""
        batch = self.batches[id_] = Batch(id_, format_, path, items, time.time(), told)
        self._end_in(batch, self.takes_s, "completed")
        return batch

    def stop(self, batch: Batch) -> None:
        """It ends a moment later, as a real one does."""
        if batch.how is None and not batch.stopping:
            batch.stopping = True
            self._end_in(batch, 0.05, "cancelled")

    def finish(self, how: How = "completed") -> None:
        """All that run, now."""
        for batch in self.batches.values():
            if batch.how is None:
                self._end(batch, how)

    def fail(self, batch: Batch, why: str) -> None:
        """As a whole: none of its calls is run."""
        batch.why = why
        self._end(batch, "failed")

    def close(self) -> None:
        for batch in self.batches.values():
            if batch.timer is not None:
                batch.timer.cancel()

    def shown(self) -> list[dict[str, Any]]:
        """Which were submitted, for tests."""
        return [
            {
                "id": batch.id,
                "format": batch.format,
                "items": [id_ for id_, _ in batch.items],
                "metadata": batch.told.get("metadata"),
                "ended": batch.how,
            }
            for batch in self.batches.values()
        ]

    def _end_in(self, batch: Batch, seconds: float | None, how: How) -> None:
        if batch.timer is not None:
            batch.timer.cancel()
        if seconds is not None:
            batch.timer = asyncio.get_running_loop().call_later(seconds, self._end, batch, how)

    def _end(self, batch: Batch, how: How) -> None:
        if batch.timer is not None:
            batch.timer.cancel()
        share = {"completed": 1.0, "failed": 0.0}.get(how, self.run_share)
        most = int(len(batch.items) * share)
        for number, (id_, body) in enumerate(batch.items):
            batch.outcomes[id_] = self._outcome(batch, id_, body, how if number >= most else "completed")
        batch.how, batch.ended_at = how, time.time()

    def _outcome(self, batch: Batch, id_: str, body: bytes, how: How) -> Response | Unrun:
        if how != "completed":
            return how
        found = _UNRUN.search(body)
        if found is not None:
            return "expired" if found[1] == b"expired" else "failed"
        return self._run(batch.path, id_, body)
