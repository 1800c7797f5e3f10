"""Responses in the ledger: who may ask for one again, what stays of its stream, and what goes with it. On both databases."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, func, select, update

from store import tables
from store.ledger import pieces, responses
from store.ledger.accept import accept
from store.ledger.pieces import Piece, Place
from store.ledger.step import take_steps
from store.ledger.types.steps import Step
from tests.store.ground import ROUTES, Ledger, arrived, asked, ending, opened, start_call


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    made = Ledger(database_url)
    made.runner.run(_joined(database_url))
    yield made
    made.close()


async def _joined(url: str) -> None:
    await (await opened(url, "w")).aclose()


def response(conn: Connection, id_: str, kept: Any) -> int:
    (found,) = accept(conn, ROUTES, [arrived(asked(id_, operation=responses.OPERATION, response=kept))])
    assert found.pk is not None
    return found.pk


def counts(conn: Connection, *names: str) -> list[int]:
    found = (select(func.count()).select_from(tables.metadata.tables[name]) for name in names)
    return [conn.execute(each).scalar_one() for each in found]


def test_only_what_is_stored_is_found_and_only_by_its_tenant(ledger: Ledger) -> None:
    for id_, kept in (("stored", "stored"), ("resumable", "resumable"), ("forgotten", None)):
        ledger.write(lambda conn, id_=id_, kept=kept: response(conn, id_, kept))
    named = [("t", "stored"), ("t", "resumable"), ("t", "forgotten"), ("other", "stored"), ("t", "nobody")]
    found = [ledger.read(lambda conn, who=who: responses.find(conn, *who)) for who in named]
    assert [None if row is None else row.id for row in found] == ["stored", "resumable", None, None, None]
    assert (bytes(found[0].value), found[0].body) == (b'{"input": {}}', None)  # type: ignore[union-attr]


def test_what_has_ended_is_let_go_of_and_what_it_cost_stays(ledger: Ledger) -> None:
    pk = ledger.write(lambda conn: response(conn, "a", "resumable"))
    row = ledger.write(start_call)
    ledger.write(lambda conn: pieces.put(conn, [Piece(pk, row.fence, 0, b"[]", 1)]))
    early = ledger.write(lambda conn: responses.let_go(conn, pk))
    ledger.write(lambda conn: take_steps(conn, ROUTES, "w", [Step(row, (), then=ending())]))
    before = ledger.read(lambda conn: counts(conn, "requests", "executions"))
    late = ledger.write(lambda conn: responses.let_go(conn, pk))
    found = ledger.read(lambda conn: responses.find(conn, "t", "a"))
    left = ledger.read(lambda conn: counts(conn, "bodies", "results", "pieces"))
    assert (row.response, early, late, found, left) == ("resumable", False, True, None, [0, 0, 0])
    assert ledger.read(lambda conn: counts(conn, "requests", "executions")) == before


def test_pieces_that_stay_are_read_again_and_again_behind_a_place_of_their_generation(ledger: Ledger) -> None:
    made = [Piece(1, 5, n, b"%d" % n, 1) for n in range(3)] + [Piece(1, 7, 0, b"anew", 1)]
    others = [Piece(1, 9, 0, b"next", 2), Piece(2, 5, 0, b"other", 1), Piece(3, 1, 0, b"across")]
    ledger.write(lambda conn: pieces.put(conn, [*made, *others]))
    first = ledger.read(lambda conn: pieces.since(conn, [Place(1, 1), Place(2, 1), Place(3, 1)]))
    behind = ledger.read(lambda conn: pieces.since(conn, [Place(1, 1, 5, 2)]))
    assert first == [*made, others[1]]
    assert behind == made[2:]


def test_what_nobody_comes_back_to_goes_after_a_day(ledger: Ledger) -> None:
    ages = {1: 0.0, 2: 2 * pieces.KEPT_S, 3: 2 * pieces.STAY_S}
    made = [Piece(pk, 1, number, b"[]", kept) for pk in ages for number, kept in ((0, None), (1, 1))]
    ledger.write(lambda conn: pieces.put(conn, made))
    p = tables.pieces
    for pk, age in ages.items():
        aged = update(p).where(p.c.request_pk == pk).values(at=p.c.at - age)
        ledger.write(lambda conn, aged=aged: conn.execute(aged))
    ledger.write(pieces.sweep)
    left = ledger.read(lambda conn: [tuple(row) for row in conn.execute(select(p.c.request_pk, p.c.kept))])
    assert sorted(left, key=str) == sorted([(1, None), (1, 1), (2, 1)], key=str)


def test_a_row_that_is_asked_for_anew_is_found_again(ledger: Ledger) -> None:
    """Its first answer failed and was let go of; the same key asks for it once more."""
    pk = ledger.write(lambda conn: response(conn, "a", "stored"))
    ledger.write(lambda conn: conn.execute(update(tables.requests).values(state="failed", response=responses.DELETED)))
    gone = ledger.read(lambda conn: responses.find(conn, "t", "a"))
    again = ledger.write(lambda conn: response(conn, "a", "stored"))
    found = ledger.read(lambda conn: responses.find(conn, "t", "a"))
    assert (gone, again, found.generation) == (None, pk, 2)  # type: ignore[union-attr]
