"""The stage without Kafka: several workers on one ledger, killed again and again, and then judged.

A life costs some tenths of a second here, so that hundreds fit into minutes.
"""

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from agents.engine.task import NOT_YET
from store.database import Database, parse_url
from streams import topics
from tests.chaos import deaths, evidence, oracle, traffic
from tests.chaos.double import Double, executed
from tests.chaos.lives import PARTITIONS, line_of
from tests.chaos.nursery import Life, Nursery
from tests.chaos.oracle import Evidence, Finding
from tests.chaos.traffic import Sent

PRICES = {"fake/*": {"input_per_million": "1.5", "output_per_million": "6"}}
ORDERED = not any(words.startswith("ordered") for words, _ in NOT_YET)
_BACKLOG = 40
_SETTLE_S = 90.0


@dataclass(frozen=True)
class Plan:
    """One run. The seed chooses what is sent and how each life ends; how the processes interleave nobody chooses."""

    seed: int
    database: str
    """A URL; empty: SQLite."""
    kills: int = 20
    workers: int = 3
    slots: int = 6
    lease_s: float = 2.0


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
    states: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def lost(self) -> int:
        return sum(1 for finding in self.findings if finding.invariant == "nothing is lost")


class Stage:
    """One run's files, lives and producers."""

    def __init__(self, plan: Plan, nursery: Nursery, fake: Double, folder: Path) -> None:
        self.plan, self.nursery, self.fake, self.folder = plan, nursery, fake, folder
        self.chance = random.Random(plan.seed)
        self.report = Report(plan.seed, "postgres" if plan.database else "sqlite")
        self.url = plan.database or f"sqlite:///{folder / 'genai.db'}"
        self.places = [f"{topic}-{partition}" for topic in traffic.TOPICS for partition in range(PARTITIONS)]
        self.sent: list[Sent] = []
        mix = traffic.Mix(ordered=0.1 if ORDERED else 0.0)
        self.coming = traffic.stream(self.chance, PARTITIONS, mix, f"s{plan.seed}-")
        self.left = plan.kills
        self.window = 0
        self.log = folder / "workers.log"

    def told(self, index: int) -> dict[str, Any]:
        settings = {
            "data_dir": str(self.folder),
            "database_url": self.url,
            "default_provider": "fake",
            "fake_url": self.fake.url,
            "fake_slots": self.plan.slots,
            "fake_paid": True,
            "prices": PRICES,
            "lease_s": self.plan.lease_s,
            "poll_s": 0.2,
            "retry_base_s": 0.05,
            "retry_cap_s": 0.5,
            "default_timeout_s": 10.0,
            "drain_s": 3.0,
            "log_format": "json",
            "log_level": "warning",
        }
        ours = self.places[index :: self.plan.workers]
        return {"settings": settings, "folder": str(self.folder), "partitions": ours}

    async def run(self) -> Report:
        """Kill until the plan's kills are done, let the rest come to its end, judge."""
        started = time.monotonic()
        await self.fake.reset()
        await self._migrate()
        feeding = asyncio.create_task(self._feed())
        await asyncio.gather(*(self._lives(index) for index in range(self.plan.workers)))
        feeding.cancel()
        await self._settle()
        await self._judge()
        self.report.seconds = time.monotonic() - started
        return self.report

    async def _migrate(self) -> None:
        """One that is killed in its middle leaves nothing; the next does it whole."""
        for kill_at in ("migrating:1", ""):
            life = await self.nursery.begin("migration", self.told(0), kill_at=kill_at, log=self.log)
            code = await life.within(60)
            if kill_at and code == -9:
                self._count(deaths.End("migrating", killed=True))
            elif code != 0:
                self._count(deaths.End("migration", killed=False, wrong=f"ended with {code}"))

    def _count(self, end: deaths.End) -> None:
        self.report.ends[end.how] += 1
        if end.killed:
            self.left -= 1
            self.report.kills += 1
        if end.wrong:
            tail = self.log.read_text(errors="replace")[-2000:]
            self.report.findings.append(Finding("workers end as they should", f"{end.how} {end.wrong}\n{tail}"))

    async def _lives(self, index: int) -> None:
        while self.left > 0 and not self.report.findings:
            death = deaths.choose(self.chance)
            life = await self._begin(index, death.kill_at)
            end = await deaths.die(life, death, lease_s=self.plan.lease_s)
            self._count(end)
            self.window += await self._under_way(life.pid, end)

    async def _under_way(self, pid: int, end: deaths.End) -> int:
        """How many calls that death can have cut off: what the ledger says, while nobody has taken over; else all that can be
        under way at once, with as many that are answered and not recorded.
        """
        if end.killed and self.plan.database:
            await asyncio.sleep(0.1)  # the database may still be at the dead one's last commit
            database = Database(parse_url(self.url))
            found = await evidence.under_way(database, pid)
            await database.aclose()
            if found is not None:
                return found
        return 2 * self.plan.slots

    async def _begin(self, index: int, kill_at: str = "") -> Life:
        return await self.nursery.begin("stage", self.told(index), kill_at=kill_at, log=self.log)

    async def _feed(self) -> None:
        """So much that there is always work, and so little that all of it is soon done."""
        database = Database(parse_url(self.url))
        try:
            while True:
                found = await evidence.unfinished(database)
                if found < _BACKLOG:
                    self._send(20)
                await asyncio.sleep(0.1)
        finally:
            await database.aclose()

    def _send(self, count: int) -> None:
        for _ in range(count):
            record = next(self.coming)
            path = self.folder / f"{record.topic}-{record.partition}"
            offset = sum(
                1
                for sent in self.sent
                if (sent.record.topic, sent.record.partition) == (record.topic, record.partition)
            )
            with path.open("ab") as file:
                file.write(line_of(record.key, record.value, at=1_700_000_000_000 + offset))
            self.sent.append(Sent(record, offset))

    async def _settle(self) -> None:
        """Workers that nobody kills, until nothing waits any more; then they are asked to go."""
        lives = [await self._begin(index) for index in range(self.plan.workers)]
        until = time.monotonic() + _SETTLE_S
        while not await self._is_done() and time.monotonic() < until:
            await asyncio.sleep(0.1)
        for life in lives:
            self._count(await deaths.die(life, deaths.Death("term"), lease_s=self.plan.lease_s))

    async def _is_done(self) -> bool:
        wanted = {sent.record.id for sent in self.sent if sent.record.id}
        results = await evidence.topic(self.folder, topics.RESULTS)
        if not wanted <= {orjson.loads(seen.value or b"null")["id"] for seen in results}:
            return False
        found = await evidence.tables(self.url)
        return not found.unfinished and not found.unpublished and await asyncio.to_thread(self._all_read)

    def _all_read(self) -> bool:
        for place in self.places:
            path, committed = self.folder / place, self.folder / f"committed-{place}"
            lines = len(path.read_bytes().splitlines()) if path.exists() else 0
            if lines and (not committed.exists() or int(committed.read_text()) < lines):
                return False
        return True

    async def _judge(self) -> None:
        counts, found = await self.fake.counts(), await evidence.tables(self.url)
        shown = Evidence(
            sent=self.sent,
            results=await evidence.topic(self.folder, topics.RESULTS),
            letters=await evidence.topic(self.folder, topics.DLQ),
            usage=await evidence.topic(self.folder, topics.USAGE),
            journal=found.journal,
            days=found.days,
            executed=executed(counts),
            most_in_flight=counts["max_in_flight"],
            slots=self.plan.slots,
            window=self.window,
            unfinished=found.unfinished,
            unpublished=found.unpublished,
        )
        report = self.report
        report.findings += oracle.judge(shown)
        report.requests, report.calls = len(self.sent), sum(shown.executed.values())
        report.ambiguous, report.twice = oracle.ambiguous(shown), oracle.paid_twice(shown)
        report.states = dict(found.states)
