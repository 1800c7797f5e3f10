"""`make chaos MINUTES=10`: seeds one after another, until the time is over; or one seed, to repeat it.

    python -m tests.chaos [--minutes M] [--seed S --ground files|kafka --database sqlite|postgres --kills N]

Exit code 1, and the command that repeats it, for each seed in which a promise was broken.
"""

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from sqlalchemy import make_url

from streams.broker import control
from streams.settings import Settings
from tests.chaos.double import double
from tests.chaos.grounds import Files, Kafka
from tests.chaos.nursery import Nursery
from tests.chaos.run import FULL_LEASE_S, PARTITIONS, Ground, Plan, Report, Run
from tests.parts import postgres, shared
from tests.parts.kafka import make_settings
from tests.system.stack import fresh_topics

KINDS = (("files", "postgres", 40, 6), ("files", "sqlite", 30, 2), ("kafka", "postgres", 10, 1))
"""Ground, database, kills of one seed, and how often it comes."""


@dataclass(frozen=True)
class Seed:
    """One run that can be asked for again."""

    seed: int
    ground: str
    database: str
    kills: int

    def command(self) -> str:
        return f"make chaos SEED={self.seed} GROUND={self.ground} DATABASE={self.database} KILLS={self.kills}"


class Parts:
    """Servers, started when they are first asked for and stopped at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        os.environ["GENAI_TEST_SHARED"] = str(folder)
        self._broker = ""

    async def database(self) -> str:
        """The URL of an empty one."""
        server = os.environ.get("GENAI_TEST_POSTGRES") or await asyncio.to_thread(
            shared.address, "postgres", postgres._embedded
        )
        name = f"chaos_{uuid.uuid4().hex[:12]}"
        connection = await asyncpg.connect(server)
        try:
            await connection.execute(f'CREATE DATABASE "{name}"')
        finally:
            await connection.close()
        return make_url(server).set(database=name).render_as_string(hide_password=False)

    async def broker(self) -> str:
        if not self._broker:
            self._broker = os.environ.get("GENAI_TEST_KAFKA") or await asyncio.to_thread(
                control.bootstrap, self._kafka(), start_it=True
            )
        return self._broker

    def _kafka(self) -> Settings:
        return make_settings(data_dir=self.folder / "kafka", kafka_port=0, kafka_brokers="")

    def stop(self) -> None:
        postgres.stop()
        if self._broker and "GENAI_TEST_KAFKA" not in os.environ:
            control.stop(self._kafka(), timeout_s=5)


async def one(seed: Seed, parts: Parts, nursery: Nursery) -> Report:
    """Run it on fresh ground."""
    folder = Path(tempfile.mkdtemp(prefix=f"{seed.ground}-{seed.seed}-", dir=parts.folder))
    url = await parts.database() if seed.database == "postgres" else ""
    ground: Ground = Files(folder)
    plan = Plan(seed.seed, url, kills=seed.kills)
    if seed.ground == "kafka":
        await fresh_topics(await parts.broker(), make_settings(data_dir=folder, partitions=PARTITIONS))
        ground = Kafka(await parts.broker(), f"chaos-{uuid.uuid4().hex[:8]}")
        plan = Plan(seed.seed, url, kills=seed.kills, workers=2, lease_s=FULL_LEASE_S, pace=3.0)
    async with double(0.03, seed.seed) as fake:
        return await Run(plan, ground, nursery, fake, folder).run()


async def main(told: argparse.Namespace) -> int:
    parts, reports, bad = Parts(Path(tempfile.mkdtemp(prefix="genai-chaos-"))), [], 0
    started = time.monotonic()
    try:
        async with Nursery() as nursery:
            for seed in seeds(told):
                report = await one(seed, parts, nursery)
                reports.append(report)
                print(
                    f"{seed.command()}: {'FAILED' if report.findings else 'ok'}, {report.kills} kills,"
                    f" {report.requests} requests, {report.seconds:.0f} s",
                    flush=True,
                )
                if report.findings:
                    bad += 1
                    print(f"{report.told()}\nlogs: {parts.folder}\nrepeat: {seed.command()}", flush=True)
                if told.seed is not None or time.monotonic() - started > told.minutes * 60:
                    break
    finally:
        await asyncio.to_thread(parts.stop)
    print(summary(reports, time.monotonic() - started))
    return 1 if bad else 0


def seeds(told: argparse.Namespace) -> Iterator[Seed]:
    """The one that is asked for, or ever new ones, of all kinds in their shares."""
    if told.seed is not None:
        yield Seed(told.seed, told.ground, told.database, told.kills)
        return
    chance = random.Random()
    kinds = [kind for kind in KINDS for _ in range(kind[3])]
    while True:
        chance.shuffle(kinds)
        for ground, database, kills, _ in kinds:
            yield Seed(chance.randrange(10**6), ground, database, kills)


def summary(reports: list[Report], seconds: float) -> str:
    """One line of figures, and one of how lives ended."""
    ends: Counter[str] = sum((report.ends for report in reports), Counter())
    figures = {
        "seeds": len(reports),
        "kills": sum(r.kills for r in reports),
        "requests": sum(r.requests for r in reports),
        "calls": sum(r.calls for r in reports),
        "ambiguous": sum(r.ambiguous for r in reports),
        "lost": sum(r.lost for r in reports),
        "twice": sum(r.twice for r in reports),
        "minutes": round(seconds / 60, 1),
    }
    return ", ".join(f"{name} {value}" for name, value in figures.items()) + f"\nends: {dict(ends.most_common())}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--ground", choices=("files", "kafka"), default="files")
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="postgres")
    parser.add_argument("--kills", type=int, default=40)
    sys.exit(asyncio.run(main(parser.parse_args())))
