"""Rows and slots find each other: best lane first, reserved slots never for batch, closed nodes left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.engine.shelf import Shelf
from store.ledger.types import Claimed, Slot

pytestmark = pytest.mark.fast

POOL = ("fake", "m")


def row(pk: int, lane: int) -> Claimed:
    return Claimed(
        pk,
        "t",
        "summarize",
        str(pk),
        1,
        1,
        lane,
        *POOL,
        False,
        "retry",
        None,
        0,
        0,
        None,
        None,
        0,
        None,
        None,
        None,
        0.0,
        0.0,
        0.0,
        None,
        b"{}",
        b"[]",
    )


def slot(number: int, reserved: bool = False, node: str = "a") -> Slot:
    return Slot(*POOL, node, number, reserved)


@given(st.lists(st.integers(0, 2), max_size=30), st.lists(st.booleans(), max_size=10))
def test_pairs_are_the_most_urgent_rows_that_the_slots_allow(lanes: list[int], reserved: list[bool]) -> None:
    shelf = Shelf(POOL, len(reserved))
    shelf.put([row(pk, lane) for pk, lane in enumerate(lanes)], [slot(n, kept) for n, kept in enumerate(reserved)])
    pairs = shelf.pair()
    begun = [claim for claim, _ in pairs]
    assert [claim.lane for claim in begun] == sorted(claim.lane for claim in begun)
    assert all(not taken.reserved for claim, taken in pairs if claim.lane == 2)
    urgent = sum(1 for lane in lanes if lane < 2)
    open_slots = sum(1 for kept in reserved if not kept)
    taken_urgent = min(urgent, len(reserved))
    kept_used = min(taken_urgent, len(reserved) - open_slots)  # reserved ones go first, so that batch has the others
    batch = min(len(lanes) - urgent, open_slots - (taken_urgent - kept_used))
    assert len(pairs) == taken_urgent + batch
    assert len({taken for _, taken in pairs}) == len(pairs)
    assert shelf.busy == {taken for _, taken in pairs}


def test_inside_a_lane_the_earlier_row_goes_first() -> None:
    shelf = Shelf(POOL, 1)
    shelf.put([row(3, 1), row(5, 1)], [slot(0)])
    assert [claim.pk for claim, _ in shelf.pair()] == [3]


def test_a_released_slot_serves_the_next_row() -> None:
    shelf = Shelf(POOL, 1)
    shelf.put([row(1, 1), row(2, 1)], [slot(0)])
    [(_, taken)] = shelf.pair()
    shelf.release(taken)
    assert [claim.pk for claim, _ in shelf.pair()] == [2]


def test_no_call_begins_at_a_closed_node() -> None:
    closed = {"a"}
    shelf = Shelf(POOL, 2, lambda: frozenset(closed))
    shelf.put([row(1, 1)], [slot(0, node="a")])
    assert shelf.pair() == []
    closed.clear()
    assert len(shelf.pair()) == 1


def test_a_claim_is_due_when_rows_may_have_come_or_the_shelf_runs_low() -> None:
    shelf = Shelf(POOL, 4)
    assert shelf.is_due()
    shelf.dirty = False
    assert not shelf.is_due()
    shelf.more = True
    assert shelf.is_due()
    shelf.put([row(pk, 2) for pk in range(3)], [])
    assert not shelf.is_due()
