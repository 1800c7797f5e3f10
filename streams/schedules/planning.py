"""What to do about one schedule now. Pure: a function of how it stands and of the time."""

from dataclasses import dataclass
from datetime import tzinfo

from schemas.schedules import Overlap
from streams.schedules import cron as crons

LATE_S = 60.0
"""A firing that is later than this was missed: nobody ran. Whoever takes over from a dead leader is faster."""


@dataclass(frozen=True, slots=True)
class Timing:
    """What a schedule says of its times."""

    cron: str
    zone: tzinfo
    overlap: Overlap = "skip"
    catch_up: bool = True


@dataclass(frozen=True, slots=True)
class Standing:
    """Where it is. `next_at`: the first firing that was not looked at; `queued_at`: one that waits for the run before;
    `busy`: that run goes on.
    """

    next_at: float | None
    queued_at: float | None = None
    busy: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What happens now: at most one firing, by its planned time; and how it stands then."""

    fire: float | None
    next_at: float | None
    queued_at: float | None
    skipped: int = 0
    missed: int = 0


def decide(timing: Timing, standing: Standing, now: float) -> Decision:
    """However much fell due, one of it fires, the newest; what was before it is missed."""
    due, missed, next_at = _due(timing, standing.next_at, now)
    queued, skipped = standing.queued_at, 0
    if standing.busy:
        if due is not None and timing.overlap == "queue" and queued is None:
            return Decision(None, next_at, due, missed=missed)
        skipped = int(due is not None)
        return Decision(None, next_at, queued, skipped, missed)
    if queued is not None:
        return Decision(queued, next_at, due, missed=missed)
    return Decision(due, next_at, None, missed=missed)


def _due(timing: Timing, next_at: float | None, now: float) -> tuple[float | None, int, float | None]:
    """The newest that is due, if it is to be fired; how many are not; and the next one."""
    if next_at is None or next_at > now:
        return None, 0, next_at
    newest = crons.latest(timing.cron, timing.zone, next_at, now)
    count = crons.counted(timing.cron, timing.zone, next_at, now)
    next_ = crons.after(timing.cron, timing.zone, now)
    if now - newest > LATE_S and not timing.catch_up:
        return None, count, next_
    return newest, count - 1, next_
