"""One run: producers send, workers die again and again, what is left comes to its end, and the judge is shown what there is."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from store.database import Database, parse_url
from streams import topics
from tests.chaos import deaths, evidence, oracle, traffic
from tests.chaos.double import Double, executed
from tests.chaos.nursery import Life, Nursery
from tests.chaos.oracle import Book, Evidence, Finding, Seen
from tests.chaos.traffic import Record, Sent

PRICES = {"fake/*": {"input_per_million": "1.5", "output_per_million": "6"}}
PARTITIONS = 2
FULL_LEASE_S = 5.0
"""Of a worker with Faust inside, which takes seconds to start: on a busy machine two would not get beyond their start."""
_BACKLOG = 60
_JOIN_S = 30.0


@dataclass(frozen=True)
class Plan:
    """The seed chooses what is sent and how each life ends; how the processes interleave nobody chooses.

    `pace`: how long a life takes here, beside the stage without Kafka; `database`: a URL, empty for SQLite.
    """

    seed: int
    database: str = ""
    kills: int = 20
    workers: int = 3
    slots: int = 6
    lease_s: float = 2.0
    pace: float = 1.0
    settle_s: float = 120.0
    mix: traffic.Mix = field(default_factory=lambda: traffic.Mix(ordered=0.1))


@dataclass
class Report:
    """What came of one run."""

    seed: int
    stage: str
    findings: list[Finding] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    requests: int = 0
    calls: int = 0
    ambiguous: int = 0
    twice: int = 0
    window: int = 0
    states: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def lost(self) -> int:
        return sum(1 for finding in self.findings if finding.invariant == "nothing is lost")

    def told(self) -> str:
        """For whoever has to repeat it."""
        lines = [f"{finding.invariant}: {finding.words}" for finding in self.findings[:20]]
        return "\n".join([f"seed {self.seed} ({self.stage})", *lines, str(dict(self.ends)), str(self.states)])


class Ground(Protocol):
    """What a run stands on: with a broker or without."""

    name: str
    entry: str

    def settings(self) -> dict[str, Any]:
        """Of every worker, beside those that are the same everywhere."""

    def told(self, index: int, workers: int) -> dict[str, Any]:
        """What the worker's entry needs beside its settings."""

    async def send(self, records: Sequence[Record]) -> list[Sent]: ...

    async def read(self, topic: str) -> list[Seen]:
        """A whole topic."""

    async def table(self) -> Book | None:
        """The Faust table, where there is one."""


class Run:
    """One plan on one ground."""

    def __init__(self, plan: Plan, ground: Ground, nursery: Nursery, fake: Double, folder: Path) -> None:
        self.plan, self.ground, self.nursery, self.fake, self.folder = plan, ground, nursery, fake, folder
        self.chance = random.Random(plan.seed)
        self.report = Report(plan.seed, f"{ground.name}, {'PostgreSQL' if plan.database else 'SQLite'}")
        self.url = plan.database or f"sqlite:///{folder / 'genai.db'}"
        self.workers_url, self.provider_url = self.url, fake.url
        """Another way than the judge's, where something stands between."""
        self.sent: list[Sent] = []
        self.coming: Iterator[Record] = traffic.stream(self.chance, PARTITIONS, plan.mix, f"s{plan.seed}-")
        self.points = deaths.deck(self.chance)
        self.left = plan.kills
        self.quiet = asyncio.Lock()
        """Held while nobody may produce."""
        self._windows: list[asyncio.Task[int]] = []
        self._storm: asyncio.Task[None] | None = None
        self.log = folder / "workers.log"

    def _told(self, index: int) -> dict[str, Any]:
        settings = {
            "data_dir": str(self.folder),
            "database_url": self.workers_url,
            "default_provider": "fake",
            "fake_url": self.provider_url,
            "fake_slots": self.plan.slots,
            "fake_paid": True,
            "prices": PRICES,
            "lease_s": self.plan.lease_s,
            "poll_s": 0.2,
            "retry_base_s": 0.05,
            "retry_cap_s": 0.5,
            "default_timeout_s": 10.0,
            "drain_s": 3.0,
            "partitions": PARTITIONS,
            "log_format": "json",
            "log_level": "warning",
        }
        return {"settings": settings | self.ground.settings(), **self.ground.told(index, self.plan.workers)}

    async def migrate(self) -> None:
        """A migration that is killed in its middle leaves nothing; the next does it whole."""
        for kill_at in ("migrating:1", ""):
            life = await self.nursery.begin("migration", self._told(0), kill_at=kill_at, log=self.log)
            code = await life.within(60)
            if kill_at and code == -9:
                self._count(deaths.End("migrating", killed=True))
            elif code != 0:
                self._count(deaths.End("migration", killed=False, wrong=f"ended with {code}"))

    async def run(self, while_: Coroutine[Any, Any, None] | None = None) -> Report:
        """Kill until the plan's kills are done and `while_` is over, let the rest come to its end, judge."""
        started = time.monotonic()
        await self.fake.reset()
        await self.migrate()
        feeding = asyncio.create_task(self._feed())
        self._storm = asyncio.create_task(while_) if while_ is not None else None
        try:
            await asyncio.gather(*(self._lives(index) for index in range(self.plan.workers)))
            if feeding.done():
                feeding.result()  # producers that stop by themselves would leave nothing to lose
        finally:
            feeding.cancel()
        if self._storm is not None:
            await self._storm
        await self.settle()
        self.report.seconds = time.monotonic() - started
        return self.report

    def _count(self, end: deaths.End) -> None:
        self.report.ends[end.how] += 1
        if end.killed:
            self.left -= 1
            self.report.kills += 1
        if end.wrong:
            tail = self.log.read_text(errors="replace")[-4000:]
            self.report.findings.append(Finding("workers end as they should", f"{end.how}: {end.wrong}\n{tail}"))

    async def _lives(self, index: int) -> None:
        while self.left > 0 and not self.report.findings:
            death = deaths.choose(self.chance, self.points, self.plan.pace)
            life = await self.begin(index, death.kill_at)
            if not death.early:
                await self._joined(life)
            await self.end(life, death)
        if self._storm is not None:
            await self._kept_alive(index, self._storm)

    async def _joined(self, life: Life) -> None:
        """On a busy machine that takes a while, and who is killed before has had nothing to lose."""
        database = Database(parse_url(self.url))
        until = time.monotonic() + _JOIN_S
        while not life.ended.done() and time.monotonic() < until and not await evidence.has_joined(database, life.pid):
            await asyncio.sleep(0.05)
        await database.aclose()

    async def begin(self, index: int, kill_at: str = "") -> Life:
        return await self.nursery.begin(self.ground.entry, self._told(index), kill_at=kill_at, log=self.log)

    async def end(self, life: Life, death: deaths.Death) -> None:
        """See it die, and count what that may have cut off."""
        end = await deaths.die(life, death, lease_s=self.plan.lease_s)
        self._count(end)
        self._windows.append(asyncio.create_task(self._under_way(life.pid, end)))

    async def _under_way(self, pid: int, end: deaths.End) -> int:
        """How many calls that death can have cut off: what the ledger says, while nobody has taken over; else all that can be
        under way at once, with as many that are answered and not recorded.
        """
        if end.killed and self.plan.database:
            await asyncio.sleep(0.25 * self.plan.lease_s)  # the database may still be at the dead one's last commit
            database = Database(parse_url(self.url))
            found = await evidence.under_way(database, pid)
            await database.aclose()
            if found is not None:
                return found
        return 2 * self.plan.slots

    async def _feed(self) -> None:
        """So much that there is always work, and so little that all of it is soon done."""
        database = Database(parse_url(self.url))
        try:
            while True:
                async with self.quiet:
                    if await evidence.backlog(database, len(self.sent)) < _BACKLOG:
                        await self.send(20)
                await asyncio.sleep(0.1 * self.plan.pace)
        finally:
            await database.aclose()

    async def send(self, count: int) -> None:
        self.sent += await self.ground.send([next(self.coming) for _ in range(count)])

    async def settle(self) -> None:
        """Workers that nobody kills, until the judge has nothing to say or time is over; then they are asked to go."""
        judging = asyncio.create_task(self._judged(time.monotonic() + self.plan.settle_s))
        await asyncio.gather(*(self._kept_alive(index, judging) for index in range(self.plan.workers)))
        self.report.findings += judging.result()

    async def _kept_alive(self, index: int, until: "asyncio.Task[Any]") -> None:
        """As a supervisor does it: one that was declared dead, on a machine that was too busy for its heart, is begun anew."""
        while not until.done():
            life = await self.begin(index)
            await asyncio.wait({until, life.ended}, return_when=asyncio.FIRST_COMPLETED)
            await self.end(life, deaths.Death("term"))

    async def _judged(self, until: float) -> list[Finding]:
        while True:
            shown = await self._evidence()
            findings = oracle.judge(shown)
            if not findings or time.monotonic() > until:
                break
            await asyncio.sleep(0.3)
        report = self.report
        report.requests, report.calls = len(self.sent), sum(shown.executed.values())
        report.ambiguous, report.twice = oracle.ambiguous(shown), oracle.paid_twice(shown)
        return findings

    async def _evidence(self) -> Evidence:
        """Topics are read behind the tables, so that what the tables say was published is there."""
        found = await evidence.tables(self.url)
        counts = await self.fake.counts()
        self.report.window = sum(await asyncio.gather(*self._windows))
        self.report.states = dict(found.states)
        return Evidence(
            sent=self.sent,
            results=await self.ground.read(topics.RESULTS),
            letters=await self.ground.read(topics.DLQ),
            usage=await self.ground.read(topics.USAGE),
            journal=found.journal,
            days=found.days,
            executed=executed(counts),
            most_in_flight=counts["max_in_flight"],
            slots=self.plan.slots,
            window=self.report.window,
            unfinished=found.unfinished,
            unpublished=found.unpublished,
            table=await self.ground.table(),
        )
