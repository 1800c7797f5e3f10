"""How far each request partition was taken in, and what to do when Kafka and the ledger disagree about it."""

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, insert, select, update

from store.tables import intake_progress

_P = intake_progress.c


@dataclass(frozen=True, slots=True)
class Progress:
    """One partition, as the ledger knows it."""

    next_offset: int
    last_timestamp: int
    committed_seen: int
    replay_until: int


@dataclass(frozen=True, slots=True)
class Start:
    """Where to read on, and why. `progress` is what the ledger must hold before the first record; `missed` counts records
    that retention deleted before anybody read them: their producers never get an answer.
    """

    why: Literal["new", "on", "reset", "hole", "lost", "anew"]
    offset: int
    progress: Progress
    missed: int = 0


def decide(known: Progress | None, *, committed: int | None, begin: int, end: int, timestamp: int | None) -> Start:
    """At assignment. `committed`: the group's offset, if any; `begin`, `end`: the log's; `timestamp`: of the record at
    `next_offset - 1`, None when it is not there any more.

    reset: an operator moved the offsets back, which is honoured as a replay. hole: the group is ahead of the ledger, so
    records would be skipped. lost: the group has no offset. anew: the topic was deleted and made again.
    """
    if known is None:
        start = begin if committed is None or committed > end else max(committed, begin)
        missed = 0 if committed is None or committed > end else max(0, begin - committed)
        return Start("new", start, Progress(start, -1, start, 0), missed)
    replaced = timestamp is not None and known.last_timestamp >= 0 and timestamp != known.last_timestamp
    if known.next_offset > end or replaced:
        return Start("anew", begin, Progress(begin, -1, begin, 0))
    missed = max(0, begin - known.next_offset)
    if committed is None:
        at = max(known.next_offset, begin)
        return Start("lost", at, _at(known, at), missed)
    if committed < known.committed_seen:
        at = max(committed, begin)
        until = max(known.replay_until, known.next_offset)
        return Start("reset", at, Progress(at, -1, at, until), missed)
    at = max(known.next_offset, begin)
    if committed > known.next_offset:
        return Start("hole", at, _at(known, at), missed)
    return Start("on", at, _at(known, at), missed)


def _at(known: Progress, offset: int) -> Progress:
    return Progress(
        offset, known.last_timestamp if offset == known.next_offset else -1, known.committed_seen, known.replay_until
    )


def load(conn: Connection, topic: str, partition: int, *, lock: bool = False) -> Progress | None:
    """None: this partition was never taken in. `lock`: nobody moves it until this transaction is over."""
    looked = select(intake_progress).where(_P.topic == topic, _P.partition == partition)
    found = conn.execute(looked.with_for_update() if lock else looked).one_or_none()
    return (
        None
        if found is None
        else Progress(found.next_offset, found.last_timestamp, found.committed_seen, found.replay_until)
    )


def save(conn: Connection, topic: str, partition: int, progress: Progress) -> None:
    """Before the first record of an assignment is read."""
    values = {
        "next_offset": progress.next_offset,
        "last_timestamp": progress.last_timestamp,
        "committed_seen": progress.committed_seen,
        "replay_until": progress.replay_until,
    }
    place = (_P.topic == topic) & (_P.partition == partition)
    if not conn.execute(update(intake_progress).where(place).values(values)).rowcount:
        conn.execute(insert(intake_progress), {"topic": topic, "partition": partition, **values})


def saw_commit(conn: Connection, commits: dict[tuple[str, int], int]) -> None:
    """Written after every commit of the group's offsets."""
    for (topic, partition), offset in sorted(commits.items()):
        conn.execute(
            update(intake_progress).where(_P.topic == topic, _P.partition == partition).values(committed_seen=offset)
        )
