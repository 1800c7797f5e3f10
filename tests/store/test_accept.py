"""Records come in: what a whole batch in one transaction must not get wrong. The walk is in `test_state_table.py`."""

from typing import Any

import orjson
from sqlalchemy import Connection, func, select

from store import tables
from store.ledger import life, progress
from store.ledger.accept import accept
from store.ledger.claim import claim
from store.ledger.types.arrivals import Accepted, Arrival, CancelAsk, Unreadable
from store.ledger.types.claims import Want
from tests.store.ground import POOL, ROUTES, TOPIC, arrived, asked, opened, refusal

CANCEL = CancelAsk("t", "summarize", "a")


async def test_a_position_that_stands_twice_in_a_batch_counts_once(database_url: str) -> None:
    database = await opened(database_url)
    invalid = asked(failure=refusal())
    batch = [arrived(invalid, 0), arrived(asked("b"), 1), arrived(invalid, 0), arrived(asked("b"), 1)]
    decided = await database.write(lambda conn: accept(conn, ROUTES, batch))
    assert [(x.decision, x.generation) for x in decided] == [
        ("invalid", 1),
        ("accepted", 1),
        ("redelivered", 0),
        ("redelivered", 0),
    ]
    read_on = await database.read(lambda conn: progress.load(conn, TOPIC, 0))
    assert read_on is not None
    assert read_on.next_offset == 2
    await database.aclose()


async def test_a_request_behind_its_own_cancel_is_a_new_generation_even_in_one_batch(database_url: str) -> None:
    database = await opened(database_url)
    batch = [
        arrived(CANCEL, 0, topic="control"),
        arrived(asked(), 0),
        arrived(asked(), 1),
        arrived(CANCEL, 1, topic="control"),
    ]
    batch += [arrived(asked(), 2)]
    decided = await database.write(lambda conn: accept(conn, ROUTES, batch))
    assert [(x.decision, x.generation) for x in decided if x.decision != "cancelled"] == [
        ("accepted", 1),  # cancelled before it came
        ("again", 2),  # cancelled after it came
        ("again", 3),
    ]
    state = select(tables.requests.c.state, tables.requests.c.generation)
    assert tuple(await database.read(lambda conn: conn.execute(state).one())) == ("waiting", 3)
    await database.aclose()


async def test_a_conflict_read_again_after_a_reset_is_told_again_as_a_replay(database_url: str) -> None:
    database = await opened(database_url)
    batch = [arrived(asked(), 0), arrived(asked(payload_hash=b"two"), 1)]

    def work(conn: Connection) -> list[Accepted]:
        accept(conn, ROUTES, batch)
        progress.save(conn, TOPIC, 0, progress.Progress(0, -1, 0, 2))
        return accept(conn, ROUTES, batch)

    decided = await database.write(work)
    bodies = [orjson.loads(x.body or b"{}") for x in decided]
    assert [(x.decision, body.get("replayed")) for x, body in zip(decided, bodies, strict=True)] == [
        ("redelivered", None),  # unfinished: its answer comes by itself
        ("conflict", True),
    ]
    await database.aclose()


async def test_what_was_pinned_comes_with_the_lease_and_only_a_new_generation_pins_anew(database_url: str) -> None:
    database = await opened(database_url, "w")

    def leased(conn: Connection, *arrivals: Arrival) -> list[tuple[int, str | None]]:
        accept(conn, ROUTES, arrivals)
        found = claim(conn, ROUTES, "w", [Want(POOL, 5, (0, 0, 0))])
        return [(row.generation, row.pinned) for row in found.rows]

    first, later = asked(pinned="greet 1 ab"), asked(pinned="greet 2 cd")
    assert await database.write(lambda conn: leased(conn, arrived(first, 0), arrived(later, 1))) == [(1, "greet 1 ab")]
    await database.write(lambda conn: life.give_back(conn, "w", (), ()))
    cancel = arrived(CANCEL, 0, topic="control")
    assert await database.write(lambda conn: leased(conn, cancel, arrived(later, 2))) == [(2, "greet 2 cd")]
    await database.aclose()


async def test_one_transaction_takes_more_records_than_a_statement_takes_values(database_url: str) -> None:
    database = await opened(database_url)
    many: list[Arrival] = [arrived(asked(str(i)), i) for i in range(2_500)]
    await database.write(lambda conn: accept(conn, ROUTES, many))

    def again(conn: Connection) -> Any:
        progress.save(conn, TOPIC, 0, progress.Progress(0, -1, 0, 2_500))
        return accept(conn, ROUTES, many)

    assert {x.decision for x in await database.write(again)} == {"redelivered"}
    count = select(func.count()).select_from(tables.requests)
    assert await database.read(lambda conn: conn.execute(count).scalar_one()) == 2_500
    await database.aclose()


async def test_bytes_that_are_no_request_become_a_dead_letter_untouched(database_url: str) -> None:
    database = await opened(database_url)
    record = Arrival(Unreadable(refusal()), arrived(asked(), 0).position, b"\xff key", b"\xff\x00", b"[]")
    await database.write(lambda conn: accept(conn, ROUTES, [record]))
    row = await database.read(lambda conn: conn.execute(select(tables.outbox)).one())
    assert (row.topic, row.key, row.value) == (ROUTES.dlq, b"\xff key", b"\xff\x00")
    await database.aclose()
