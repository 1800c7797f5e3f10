"""How fast a pool answers, from what it answered lately. Pure: the time is given.

A pool that had nothing to do answered little, which says nothing about what it can do. So answers are counted in the time in
which something waited, and only there; where that is short, slots over the mean work of an answer count as a few answers.
"""

import math
import statistics
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

WINDOW_S = 900.0
"""Nothing older is looked at."""
FADES_S = 300.0
"""An answer of so long ago counts 1/e."""
PRIOR = 4.0
"""What slots over mean work is worth beside what was counted, in answers."""
_BUCKETS = 10
_BUCKET_S = 30.0


class Answer(Protocol):
    """A request that ended lately: when it was accepted, when its first call began, when its last one ended, and how long
    its calls took in all.
    """

    @property
    def accepted_at(self) -> float: ...
    @property
    def opened_at(self) -> float: ...
    @property
    def closed_at(self) -> float: ...
    @property
    def work_s(self) -> float: ...
    @property
    def lane(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Rate:
    """`per_s`: answers that the pool gives while something waits. `works`: seconds of work of each answer, sorted."""

    per_s: float
    call_s: float
    """The median of `works`: long ones are rare, and make the mean a bad guess for one call."""
    works: tuple[float, ...]
    lanes: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Answers per second lately by lane, whether something waited or not."""

    def rest_s(self, elapsed_s: float) -> float | None:
        """How long a call that runs already may still take; None: none took as long lately."""
        longer = [work for work in self.works if work > elapsed_s]
        return statistics.median(longer) - elapsed_s if longer else None


def measure(
    answers: Sequence[Answer],
    *,
    slots: int,
    now: float,
    waiting_since: float | None = None,
    since: float | None = None,
) -> Rate | None:
    """None: nothing was answered lately, so nothing is known. `waiting_since`: when the oldest that waits now was accepted;
    `since`: no answer from before then was looked at.
    """
    if not answers:
        return None
    begin = max(now - WINDOW_S, -math.inf if since is None else since)
    waits = [(answer.accepted_at, answer.opened_at) for answer in answers]
    if waiting_since is not None:
        waits.append((waiting_since, now))
    busy = _joined((max(start, begin), min(end, now)) for start, end in waits)
    weights = [_weight(now - answer.closed_at) for answer in answers]
    count = sum(weight for weight, a in zip(weights, answers, strict=True) if _within(a.closed_at, busy))
    seconds = sum(_weighed(now - end, now - start) for start, end in busy)
    works = tuple(sorted(answer.work_s for answer in answers))
    usual = _usual(answers, weights, slots)
    if usual > 0:
        count, seconds = count + PRIOR, seconds + PRIOR / usual
    if count <= 0 or seconds <= 0:
        return None
    return Rate(count / seconds, statistics.median(works), works, _by_lane(answers, weights, now))


def _usual(answers: Sequence[Answer], weights: Sequence[float], slots: int) -> float:
    """Slots over the mean work: a queue goes down as the mean says, not as the median of a long tail."""
    work = sum(weight * answer.work_s for weight, answer in zip(weights, answers, strict=True))
    return slots * sum(weights) / work if work > 0 else 0.0


def _by_lane(answers: Sequence[Answer], weights: Sequence[float], now: float) -> tuple[float, float, float]:
    """Since the first of them, or half a minute if that is longer."""
    span = _weighed(0.0, max(_BUCKET_S, now - min(answer.closed_at for answer in answers)))
    sums = [0.0, 0.0, 0.0]
    for weight, answer in zip(weights, answers, strict=True):
        sums[answer.lane] += weight
    realtime, normal, batch = (total / span for total in sums)
    return realtime, normal, batch


def steady(moments: Iterable[float], now: float) -> float:
    """Arrivals per second that go on and on: the median of ten half-minutes, so that a flood that came at once is none."""
    counts = [0] * _BUCKETS
    for moment in moments:
        bucket = int((now - moment) / _BUCKET_S)
        if 0 <= bucket < _BUCKETS:
            counts[bucket] += 1
    return statistics.median(counts) / _BUCKET_S


def _weight(age_s: float) -> float:
    return math.exp(-max(0.0, age_s) / FADES_S)


def _weighed(youngest_s: float, oldest_s: float) -> float:
    """The weights of all moments between two ages, added up."""
    return FADES_S * (_weight(youngest_s) - _weight(oldest_s))


def _joined(spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Spans that overlap as one."""
    found: list[tuple[float, float]] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def _within(moment: float, spans: Sequence[tuple[float, float]]) -> bool:
    place = bisect_right(spans, (moment, math.inf))
    return place > 0 and moment <= spans[place - 1][1]
