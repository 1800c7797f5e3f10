"""How many unfinished requests a key may have: counted where they are taken, over all processes."""

import asyncio
from typing import Any

from sqlalchemy import Connection, update

from store import keys
from store.database import Database, parse_url
from store.keys import Secret, Wish
from store.ledger.accept import accept
from store.ledger.step import take_steps
from store.ledger.types.arrivals import Accepted, Ask
from store.ledger.types.steps import Step
from store.ledger.writer import Writer
from store.tables import requests
from tests.store.ground import ROUTES, answered, arrived, asked, call, ending, opened, refusal, start_call

SCOPES = {"operations": ["*"], "models": ["*"], "lanes": ["*"], "admin": False}


def bounded(id_: str, most: int = 2, **changes: Any) -> Ask:
    return asked(id_, **{"key_id": "key-1", "most_at_once": most, **changes})


def taking(*asks: Ask) -> Any:
    return lambda conn: [found.decision for found in accept(conn, ROUTES, [arrived(ask) for ask in asks])]


async def test_one_too_many_is_not_taken_and_others_are_not_counted(database_url: str) -> None:
    database = await opened(database_url)
    batch = [bounded("a"), asked("z"), bounded("b"), bounded("c"), bounded("d", key_id="key-2"), bounded("a")]
    assert await database.write(taking(*batch)) == [
        "accepted",
        "accepted",
        "accepted",
        "crowded",
        "accepted",
        "duplicate",  # it has a place already
    ]
    assert await database.write(taking(bounded("e"), bounded("f", failure=refusal()))) == ["crowded", "invalid"]
    await database.aclose()


async def test_a_place_is_free_again_when_a_request_ends_or_is_held(database_url: str) -> None:
    database = await opened(database_url, "w")
    await database.write(taking(bounded("a", 1)))

    def end(conn: Connection) -> None:
        mine = start_call(conn)
        take_steps(conn, ROUTES, "w", [Step(mine, (answered(call(mine)),), then=ending())])

    assert await database.write(taking(bounded("b", 1))) == ["crowded"]
    await database.write(end)
    assert await database.write(taking(bounded("b", 1))) == ["accepted"]
    await database.write(lambda conn: conn.execute(update(requests).where(requests.c.id == "b").values(state="held")))
    assert await database.write(taking(bounded("c", 1), bounded("d", 1))) == ["accepted", "crowded"]
    await database.aclose()


async def test_many_processes_together_take_no_more_than_the_key_may_have(database_url: str) -> None:
    database = await opened(database_url)
    await database.write(lambda conn: keys.create(conn, "key-1", Secret("p", b"d"), Wish("n", None, SCOPES)))
    bases = [Database(parse_url(database_url)) for _ in range(3)]
    writers = [Writer(base, ROUTES, f"w{i}") for i, base in enumerate(bases)]
    for writer in writers:
        writer.start()

    async def bring(number: int) -> Accepted:
        (found,) = await writers[number % 3].accept([arrived(bounded(f"r{number}", 10))])
        return found

    found = await asyncio.gather(*map(bring, range(60)))
    assert sorted(each.decision for each in found) == ["accepted"] * 10 + ["crowded"] * 50
    for writer in writers:
        await writer.aclose()
    for base in [*bases, database]:
        await base.aclose()
