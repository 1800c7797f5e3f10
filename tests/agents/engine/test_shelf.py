"""Rows and slots find each other: each slot gets a row that may use it, reserved slots are lent, closed nodes left alone."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.engine.shelf import Shelf
from store.ledger.types.claims import Claimed, Seen, Slot

pytestmark = pytest.mark.fast

POOL = ("fake", "m")


def row(pk: int, lane: int, tenant: str = "t") -> Claimed:
    return Claimed(
        pk,
        tenant,
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
        float(pk),
        1,
        None,
        None,
        None,
        False,
        False,
        False,
        None,
        None,
        b"{}",
        b"[]",
    )


def slot(number: int, reserved: bool = False, node: str = "a") -> Slot:
    return Slot(*POOL, node, number, reserved)


@given(st.lists(st.integers(0, 2), max_size=30), st.lists(st.booleans(), max_size=10), st.booleans())
def test_no_slot_is_idle_that_a_row_may_use(lanes: list[int], reserved: list[bool], lent: bool) -> None:
    shelf = Shelf(POOL, len(reserved))
    shelf.put([row(pk, lane) for pk, lane in enumerate(lanes)], [slot(n, kept) for n, kept in enumerate(reserved)])
    shelf.saw(Seen(lent=lent), more=False, at=None)
    pairs = shelf.pair()
    left = shelf.counts()
    may = {slot for slot in shelf.idle if not slot.reserved or (lent and not left[0])}
    assert not (shelf.idle and (left[0] or left[1]))
    assert not (may and left[2])
    assert len({taken for _, taken in pairs}) == len(pairs)
    assert shelf.busy == {taken for _, taken in pairs}
    assert Counter(lanes) == Counter({lane: n for lane, n in enumerate(left) if n}) + Counter(c.lane for c, _ in pairs)


def test_urgent_rows_take_the_reserved_slots_first_so_that_batch_has_the_others() -> None:
    shelf = Shelf(POOL, 5)
    shelf.put([row(1, 0), row(2, 2)], [slot(0), slot(1, reserved=True)])
    assert {claim.lane: taken.reserved for claim, taken in shelf.pair()} == {0: True, 2: False}


def test_a_reserved_slot_is_lent_to_batch_until_a_realtime_row_comes_and_finishes_its_call() -> None:
    shelf = Shelf(POOL, 5)
    shelf.put([row(pk, 2) for pk in range(1, 4)], [slot(0, reserved=True)])
    assert shelf.pair() == []
    shelf.saw(Seen(lent=True), more=False, at=None)
    [(_, lent)] = shelf.pair()
    shelf.put([row(9, 0)], [])
    assert (shelf.pair(), shelf.busy) == ([], {lent})
    shelf.release(lent)
    assert [claim.pk for claim, _ in shelf.pair()] == [9]
    shelf.saw(Seen(lent=False), more=False, at=None)
    shelf.release(lent)
    assert shelf.pair() == []


def test_whoever_used_fewer_tokens_is_next_and_what_was_really_used_counts() -> None:
    shelf = Shelf(POOL, 1)
    shelf.put([row(1, 1, "a"), row(2, 1, "b"), row(3, 1, "a"), row(4, 1, "b")], [slot(0)])
    [(first, taken)] = shelf.pair()
    shelf.settle(first, 500)
    begun = []
    for _ in range(3):
        shelf.release(taken)
        begun += [claim.pk for claim, _ in shelf.pair()]
    assert (first.pk, begun) == (1, [2, 4, 3])  # b's two rows, of a token each, before a's second one


def test_a_claim_that_cannot_see_whose_turn_it_is_is_made_again() -> None:
    shelf = Shelf(POOL, 1)
    shelf.saw(Seen(again=True, after=("", "t", "")), more=True, at=None)
    assert shelf.is_due()
    assert shelf.want().after == ("", "t", "")


def test_inside_a_lane_the_earlier_row_goes_first() -> None:
    shelf = Shelf(POOL, 1)
    shelf.put([row(3, 1), row(5, 1)], [slot(0)])
    assert [claim.pk for claim, _ in shelf.pair()] == [3]


def test_a_row_that_comes_again_is_there_once() -> None:
    shelf = Shelf(POOL, 2)
    shelf.put([row(1, 1)], [])
    shelf.put([row(1, 2)], [slot(0), slot(1)])
    assert [claim.lane for claim, _ in shelf.pair()] == [2]


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


def test_rows_without_any_slot_of_ours_are_stranded() -> None:
    shelf = Shelf(POOL, 4)
    assert not shelf.is_stranded()
    shelf.put([row(1, 2)], [slot(0, reserved=True)])
    assert not shelf.is_stranded()
    shelf.forget(slot(0, reserved=True))
    assert shelf.is_stranded()


def test_a_claim_is_due_when_rows_may_have_come_or_the_shelf_runs_low() -> None:
    shelf = Shelf(POOL, 4)
    assert shelf.is_due()
    shelf.dirty = False
    assert not shelf.is_due()
    shelf.more = True
    assert not shelf.is_due()  # others have the slots: there is nothing to lease rows for
    shelf.put([], [slot(n) for n in range(4)])
    assert (shelf.is_due(), shelf.want().total) == (True, 4)
    shelf.put([row(pk, 2) for pk in range(3)], [])
    assert not shelf.is_due()


def test_without_a_slot_of_ours_what_the_next_transaction_frees_is_claimed_with_it() -> None:
    shelf = Shelf(POOL, 4)
    assert not shelf.is_dry()
    shelf.put([row(1, 2)], [])  # leased ahead for a slot that was given back while the claim was on its way
    assert shelf.is_dry()
    shelf.put([], [slot(0)])
    assert not shelf.is_dry()
    shelf.forget(slot(0))
    shelf.drop(1)
    shelf.more = True
    assert shelf.is_dry()
