"""How lives end: chosen by a seeded chance, done to one process, told in one word."""

import random
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from tests.chaos.nursery import Life

Way = Literal["point", "random", "term", "stop", "draining"]

PASSAGES = {
    "accepted": 2,
    "leased": 3,
    "intended": 5,
    "called": 5,
    "answered": 5,
    "recording": 3,
    "recorded": 3,
    "published": 3,
    "taking_over": 1,
}
"""At most so many passages before the one that kills; there is work for as many in every life."""
WAYS: Sequence[tuple[Way, float]] = (
    ("point", 0.7),
    ("random", 0.14),
    ("draining", 0.05),
    ("term", 0.06),
    ("stop", 0.05),
)

_EARLY = 0.25
"""So many of the deaths that the driver chooses the time of may come before the worker has joined."""


@dataclass(frozen=True, slots=True)
class Death:
    """`after_s`: when the driver acts; for a kill point: when it has waited long enough and kills all the same. Counted from the
    moment at which the worker has joined, `early`: from its birth.
    """

    way: Way
    point: str = ""
    count: int = 0
    after_s: float = 0.0
    early: bool = False

    @property
    def kill_at(self) -> str:
        return f"{self.point}:{self.count}" if self.point else ""

    @property
    def name(self) -> str:
        return self.point or {"random": "kill -9", "term": "SIGTERM", "stop": "SIGSTOP"}[self.way]


def deck(chance: random.Random) -> Iterator[str]:
    """Every kill point once, in a chosen order, again and again: a short run meets each."""
    points = list(PASSAGES)
    while True:
        chance.shuffle(points)
        yield from points


def choose(chance: random.Random, points: Iterator[str], pace: float = 1.0) -> Death:
    """`pace`: how long things take here, beside the stage without Kafka."""
    way = chance.choices([way for way, _ in WAYS], [share for _, share in WAYS])[0]
    match way:
        case "point":
            point = next(points)
            return Death(way, point, chance.randint(1, PASSAGES[point]), 5.0 * pace)
        case "draining":
            return Death(way, "draining", 1, pace * chance.uniform(0.3, 1.0))
        case _:
            return Death(way, after_s=pace * chance.uniform(0.05, 1.5), early=chance.random() < _EARLY)


@dataclass(frozen=True, slots=True)
class End:
    """`how`: the name of the death, or what came instead. `killed`: as by `kill -9`. `wrong`: nothing that should ever be."""

    how: str
    killed: bool
    wrong: str = ""


async def die(life: Life, death: Death, *, lease_s: float, patience_s: float = 30.0) -> End:
    """See a life to its end. Exit 1 is a worker that was declared dead by the others and says so."""
    code = await life.within(death.after_s)
    if code is None:
        match death.way:
            case "draining" | "term":
                life.send(signal.SIGTERM)
                code = await life.within(patience_s)
            case "stop":
                life.send(signal.SIGSTOP)
                await life.within(lease_s + 1.0)
                life.send(signal.SIGCONT)
                code = await life.within(4 * lease_s)
                if code is None:  # it had not joined yet, or nobody else was there to miss it: then it lives on
                    life.send(signal.SIGKILL)
                    code = await life.within(patience_s)
            case _:
                life.send(signal.SIGKILL)
                code = await life.within(patience_s)
                assert code is not None, "the kernel does not kill"
                return End("kill -9", killed=True)
    if code is None:
        life.send(signal.SIGUSR1)  # its stacks, into its log
        await life.within(1.0)
        life.send(signal.SIGKILL)
        return End(death.name, killed=False, wrong=f"does not end within {patience_s:g} s of {death.name}")
    return _told(death, code)


def _told(death: Death, code: int) -> End:
    if code == -signal.SIGKILL:
        return End(death.name, killed=True)
    if code == -signal.SIGTERM and death.way in {"term", "draining"}:
        return End("SIGTERM", killed=False)  # before it listened for signals: it had taken nothing
    if code == 1 and death.way != "stop":
        return End("declared dead", killed=False)
    if code in {0, 1} and death.way in {"term", "stop", "draining"}:
        return End(death.name if death.way != "draining" else "SIGTERM", killed=False)
    return End(death.name, killed=False, wrong=f"ended by itself with exit code {code}")
