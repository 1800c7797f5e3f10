"""Open and closed slots: a claim sees only open ones, and what is closed while it is used goes back after its call."""

from collections.abc import AsyncIterator

import pytest

from store.database import Database
from store.ledger import homes
from store.ledger.accept import accept
from store.ledger.claim import Claims, claim, ensure_slots
from store.ledger.homes import Place, Queue
from store.ledger.types.claims import Want
from tests.store.ground import ROUTES, arrived, asked, opened

A, B = ("ollama", "a"), ("ollama", "b")


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Database]:
    """Two models, two nodes of five slots, all closed; 20 rows of each model."""
    database = await opened(database_url, "w", "v")
    wanted = [(pool, node, 5) for pool in (A, B) for node in ("n1", "n2")]
    await database.write(lambda conn: ensure_slots(conn, wanted, placed=True))
    rows = [
        arrived(asked(f"r{i}", provider="ollama", model="ab"[i % 2], lane=i % 3, deadline=9e9 if i == 3 else None), i)
        for i in range(40)
    ]
    await database.write(lambda conn: accept(conn, ROUTES, rows))
    yield database
    await database.aclose()


async def claimed(database: Database, worker: str = "w") -> Claims:
    return await database.write(
        lambda conn: claim(conn, ROUTES, worker, [Want(A, 10, (0, 0, 0)), Want(B, 10, (0, 0, 0))])
    )


async def moved(database: Database, opens: str, closes: str = "") -> None:
    pairs = [[(each[:-1], each[-1]) for each in told.split()] for told in (opens, closes)]
    await database.write(lambda conn: homes.move(conn, "ollama", 50.0, *pairs))


async def test_a_claim_takes_open_slots_only_and_a_fifth_of_them_is_kept_from_batch(ledger: Database) -> None:
    assert (await claimed(ledger)).slots == ()
    await moved(ledger, "n1a n2b")
    found = await claimed(ledger, "v")
    assert {(slot.model, slot.node) for slot in found.slots} == {("a", "n1"), ("b", "n2")}
    assert (len(found.slots), sum(slot.reserved for slot in found.slots)) == (10, 2)


async def test_slots_that_are_closed_while_they_are_used_are_told_to_their_worker(ledger: Database) -> None:
    await moved(ledger, "n1a n2b")
    assert (await claimed(ledger)).leaving == frozenset()
    await moved(ledger, "", "n1a")
    assert (await claimed(ledger)).leaving == {(A, "n1")}
    assert (await claimed(ledger, "v")).leaving == frozenset()
    board = await ledger.write(lambda conn: homes.read(conn, "ollama"))
    assert board.places == (
        Place("n1", "a", open=False, busy=5, opened_at=50.0),
        Place("n1", "b", open=False, busy=0, opened_at=0.0),
        Place("n2", "a", open=False, busy=0, opened_at=0.0),
        Place("n2", "b", open=True, busy=5, opened_at=50.0),
    )


async def test_what_waits_is_counted_with_what_was_leased_ahead_and_without_what_runs(ledger: Database) -> None:
    first = await ledger.write(lambda conn: homes.read(conn, "ollama"))
    assert [(queue.model, queue.count) for queue in first.queues] == [("a", 20), ("b", 20)]
    assert sorted((queue.deadline for queue in first.queues), key=str) == [9e9, None]
    await moved(ledger, "n1a n2b")
    taken = await claimed(ledger)
    assert (len(taken.rows), len(taken.slots)) == (30, 10)
    queues = (await ledger.write(lambda conn: homes.read(conn, "ollama"))).queues
    assert [(queue.model, queue.count) for queue in queues] == [("a", 15), ("b", 15)]
    assert all(isinstance(queue, Queue) and queue.since > 0 for queue in queues)


async def test_a_process_that_starts_leaves_open_what_is_open(ledger: Database) -> None:
    await moved(ledger, "n1a")
    await ledger.write(lambda conn: ensure_slots(conn, [(A, "n1", 3), (A, "n2", 5)], placed=True))
    board = await ledger.write(lambda conn: homes.read(conn, "ollama"))
    assert [place.node for place in board.places if place.open] == ["n1"]
    await ledger.write(lambda conn: ensure_slots(conn, [(A, "n1", 3), (A, "n2", 5)]))  # a setting says: any number
    board = await ledger.write(lambda conn: homes.read(conn, "ollama"))
    assert [place.node for place in board.places if place.open] == ["n1", "n2"]
