"""What was said about when a request would be answered, against when it was: a real worker, a real queue, a long tail."""

import asyncio
import random
import time
import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiokafka
import orjson
from sqlalchemy import Connection, Row, select

from bench import ground, load
from bench.ground import Ground
from bench.report import Line, Report, percentile
from schemas.request import Lane
from store.database import Database, parse_url
from store.tables import requests
from streams import topics
from streams.settings import Settings
from streams.web.looker import Looker

SLOTS, CALL_S = 8, 0.4
WARM = 60
QUEUED = ((Lane.NORMAL, "x", 200), (Lane.NORMAL, "y", 80), (Lane.BATCH, "x", 60), (Lane.BATCH, "z", 60))
"""Lane, tenant, records that are there when the asking begins."""
REALTIME_PER_S = 3.0
ASK_EVERY_S, ASKED = 1.5, 12
NAMES = {lane: lane.name.lower() for lane in Lane}
_R = requests.c


@dataclass(frozen=True)
class Said:
    """One estimate: about which row, when, and how many seconds."""

    pk: int
    lane: int
    at: float
    seconds: float


async def eta(where: Ground, rounds: int, databases: Sequence[str]) -> Report:
    """Asked again and again while the queue goes down; who asks and of what is drawn by a seed."""
    errors: dict[tuple[str, str], list[float]] = defaultdict(list)
    bias: dict[str, list[float]] = defaultdict(list)
    counts: dict[str, int] = defaultdict(int)
    for number in range(rounds):
        for side in databases:
            said = await _round(where, side, random.Random(number))
            counts[side] += len(said)
            bias[side].append(percentile([each.seconds / took for each, took in said], 0.5))
            errors[side, ""].append(_median(said))
            for lane, name in NAMES.items():
                if of_lane := [(each, took) for each, took in said if each.lane == lane]:
                    errors[side, name].append(_median(of_lane))
    lines = []
    for side in databases:
        whole = Line(side, "median error, all", "", errors[side, ""], "<= 0.25")
        lines.append(Line(side, whole.figure, "", whole.values, whole.goal, whole.median() <= 0.25))
        lines += [
            Line(side, f"median error, {name}", "", errors[side, name]) for name in NAMES.values() if errors[side, name]
        ]
        lines.append(Line(side, "said / took, median", "", bias[side]))
    what = f"estimates of {sum(counts.values())} waiting requests, {SLOTS} slots x {CALL_S:g} s, one call in 20 ten times as long"
    return Report("eta", what, lines)


def _median(said: Sequence[tuple[Said, float]]) -> float:
    return percentile([abs(each.seconds - took) / took for each, took in said], 0.5)


async def _round(where: Ground, side: str, chance: random.Random) -> list[tuple[Said, float]]:
    group, run = f"bench-{uuid.uuid4().hex[:8]}", uuid.uuid4().hex[:8]
    url = await ground.fresh_database(where, side)
    environment = where.environment() | {
        "GENAI_DATABASE_URL": url,
        "GENAI_DATA_DIR": str(where.folder),
        "GENAI_DEFAULT_PROVIDER": "fake",
        "GENAI_FAKE_SLOTS": str(SLOTS),
        "GENAI_FAKE_LATENCY_S": str(CALL_S),
        "GENAI_FAKE_TAIL": "0.05",
        "GENAI_FAKE_SEED": str(chance.randrange(1 << 30)),
        "GENAI_KAFKA_GROUP": group,
        "GENAI_WORKER_PORT": "0",
    }
    names = [topics.request_topic("summarize", lane) for lane in Lane]
    await load.skip_to_end(where.bootstrap, group, names)
    with ground.process(["-m", "bench.worker"], environment, where.folder / "side.log"):
        database = Database(parse_url(url))
        try:
            return await _watched(where.bootstrap, database, run, chance)
        finally:
            await database.aclose()


async def _watched(bootstrap: str, database: Database, run: str, chance: random.Random) -> list[tuple[Said, float]]:
    producer = aiokafka.AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    looker = Looker(Settings(_env_file=None))
    said: list[Said] = []
    try:
        await _send(producer, Lane.NORMAL, "x", f"{run}-warm", WARM)
        await _until(database, lambda left: left == 0, WARM)
        for lane, tenant, count in QUEUED:
            await _send(producer, lane, tenant, run, count)
        urgent = asyncio.create_task(_urgent(producer, run, chance))
        begun = time.monotonic()
        while (rows := await database.read(_waiting)) or time.monotonic() - begun < 2:
            for row in chance.sample(rows, min(ASKED, len(rows))):
                told = await looker.place(database, row)
                if told["eta_s"] is not None:
                    said.append(Said(row.pk, row.lane, time.time(), told["eta_s"]))
            await asyncio.sleep(ASK_EVERY_S)
            if not [row for row in rows if row.lane != Lane.REALTIME]:
                urgent.cancel()
        urgent.cancel()
        await asyncio.gather(urgent, return_exceptions=True)
        await _until(database, lambda left: left == 0, 0)
    finally:
        await producer.stop()
    ended = await database.read(_ended)
    return [(each, max(1e-3, ended[each.pk] - each.at)) for each in said if each.pk in ended]


async def _send(producer: Any, lane: Lane, tenant: str, run: str, count: int) -> None:
    topic = topics.request_topic("summarize", lane)
    bodies = [_body(f"{run}-{lane}-{tenant}-{n}", tenant) for n in range(count)]
    await asyncio.gather(*[await producer.send(topic, body, b"key-%d" % (n % 97)) for n, body in enumerate(bodies)])


async def _urgent(producer: Any, run: str, chance: random.Random) -> None:
    for n in range(100_000):
        await asyncio.sleep(chance.expovariate(REALTIME_PER_S))
        await producer.send(topics.request_topic("summarize", Lane.REALTIME), _body(f"{run}-r-{n}", "x"), None)


def _body(id_: str, tenant: str) -> bytes:
    return orjson.dumps({"id": id_, "tenant": tenant, "input": {"content": f"Acme sold {id_} pumps. A good year."}})


async def _until(database: Database, done: Any, least: int, limit_s: float = 300.0) -> None:
    until = time.monotonic() + limit_s
    while True:
        left, ended = await database.read(_counted)
        if done(left) and ended >= least:
            return
        if time.monotonic() > until:
            raise TimeoutError(f"{left} requests are left after {limit_s:g} s")
        await asyncio.sleep(0.2)


def _waiting(conn: Connection) -> list[Row[Any]]:
    return list(conn.execute(select(requests).where(_R.state.in_(("waiting", "leased"))).order_by(_R.pk)))


def _counted(conn: Connection) -> tuple[int, int]:
    found = conn.execute(select(_R.completed_at)).scalars().all()
    return sum(each is None for each in found), sum(each is not None for each in found)


def _ended(conn: Connection) -> dict[int, float]:
    found = conn.execute(select(_R.pk, _R.completed_at).where(_R.completed_at.is_not(None)))
    return {row.pk: row.completed_at for row in found}
