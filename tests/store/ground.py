"""What the tests of the ledger stand on: a database that plain functions can be run against, and records to give it."""

import asyncio
import zlib
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection, text

from schemas.errors import ErrorType, Failure
from schemas.result import Status, Totals
from store.database import Database, parse_url
from store.ledger import life
from store.ledger.claim import claim, ensure_slots
from store.ledger.step import take_steps
from store.ledger.types.arrivals import Arrival, Ask
from store.ledger.types.claims import Claimed, Want
from store.ledger.types.records import Position, Routes
from store.ledger.types.steps import Call, Closing, End, Step
from store.tables import metadata
from tests.parts.ledgers import migrate

T = TypeVar("T")
POOL = ("fake", "m")
ELSEWHERE_POOL = ("other", "m")
"""Where a route's request goes when its first target has failed."""
TOPIC = "genai.requests.summarize"


def partition(_topic: str, key: bytes) -> int:
    """Two partitions everywhere, by a hash that no process salts."""
    return zlib.crc32(key) % 2


ROUTES = Routes("genai.results", "genai.usage", "genai.dlq", partition)


class Ledger:
    """A migrated database for code that is not async. Whoever made it closes it."""

    def __init__(self, url: str) -> None:
        self.runner = asyncio.Runner()
        self.database = Database(parse_url(url))
        self.runner.run(migrate(self.database))

    def write(self, work: Callable[[Connection], T]) -> T:
        return self.runner.run(self.database.write(work))

    def read(self, work: Callable[[Connection], T]) -> T:
        return self.runner.run(self.database.read(work))

    def empty(self) -> None:
        """Deleting from small tables is fifty times faster than TRUNCATE, which makes files anew."""
        self.write(_empty)

    def close(self) -> None:
        self.runner.run(self.database.aclose())
        self.runner.close()


def _empty(conn: Connection) -> None:
    for table in metadata.sorted_tables:
        if table.name != "ledgers":
            conn.execute(table.delete())


def forget_durability(conn: Connection) -> None:
    """A state machine makes thousands of commits and is not about power cuts."""
    name = conn.execute(text("SELECT current_database()")).scalar_one()
    conn.execute(text(f'ALTER DATABASE "{name}" SET synchronous_commit = off'))


async def opened(url: str, *workers: str, slots: int = 5) -> Database:
    """A migrated database in which these workers have joined."""
    database = Database(parse_url(url))
    await migrate(database)
    for worker in workers:
        await database.write(lambda conn, worker=worker: life.register(conn, worker, "host", 1))
    await database.write(lambda conn: ensure_slots(conn, [(POOL, "n", slots)]))
    return database


def asked(id_: str = "a", **changes: Any) -> Ask:
    return Ask(
        **{
            "tenant": "t",
            "operation": "summarize",
            "id": id_,
            "payload_hash": b"one",
            "provider": POOL[0],
            "model": POOL[1],
            **changes,
        }
    )


def arrived(what: Any, offset: int | None = None, *, partition: int = 0, topic: str = TOPIC) -> Arrival:
    """A record at a position, or over HTTP."""
    position = None if offset is None else Position(topic, partition, offset, 1_000 + offset)
    return Arrival(what, position, None, b'{"input": {}}', b"[]")


def refusal() -> Failure:
    return Failure(type=ErrorType.INVALID_REQUEST, message="no input")


def claim_all(conn: Connection, worker: str = "w") -> list[Claimed]:
    """What a process without rows and slots gets."""
    return list(claim(conn, ROUTES, worker, [Want(POOL, 5, (0, 0, 0))]).rows)


def start_call(conn: Connection) -> Claimed:
    """The one row that waits, claimed, and its call's intent."""
    (mine,) = claim_all(conn)
    take_steps(conn, ROUTES, "w", [Step(mine, opens=call(mine))])
    return mine


def call(claim: Claimed, number: int = 1, *, attempt: str = "", nano: int | None = 1_000) -> Call:
    return Call(
        id=f"{claim.pk}-{claim.generation}-{claim.fence}-{number}{attempt}",
        number=number,
        kind="chat",
        node="n",
        input_hash=b"h",
        estimate_tokens=10,
        estimate_output=5,
        estimate_nano=nano,
        price_source="test",
        price_version="1",
    )


def answered(what: Call, cost: int | None = 17) -> Closing:
    return Closing(what, "ok", event=True, input_tokens=3, output_tokens=4, cost_nano=cost)


def ending(status: Status = Status.SUCCEEDED, failure: Failure | None = None, *, attempts: int = 1) -> End:
    return End(
        status=status,
        output={"summary": "…"} if status is Status.SUCCEEDED else None,
        failure=failure,
        warnings=(),
        totals=Totals(),
        metadata={},
        latency_ms=1,
        dead_letter=failure is not None,
        attempts=attempts,
    )
