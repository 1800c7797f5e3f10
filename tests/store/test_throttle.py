"""What refusals and answers do to a pool and to a node's door, with a clock that only the test moves."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.ledger import throttle
from store.ledger.throttle import Door, Heard, Throttle

pytestmark = pytest.mark.fast

ANSWERED = Heard("p", "m", "n", answered=True)
FULL = Heard("p", "m", "n", cuts=True)
LATE = Heard("p", "m", "n", cuts=True, took_s=2.0)
WAIT_5 = Heard("p", "m", "n", cuts=True, pause_s=5.0)
AWAY = Heard("p", "m", "n", fails=True)

POOLS: list[tuple[str, Throttle, Heard, float, int, Throttle]] = [
    # what, before, heard, now, busy of 64 slots, after
    ("the first refusal: 64 x 0.7", Throttle(), FULL, 100.0, 64, Throttle(0.0, 44.8, 100.0)),
    ("it counts what was in flight, not what might be: 10 x 0.7", Throttle(), FULL, 100.0, 10, Throttle(0.0, 7.0, 100.0)),
    ("the same burst", Throttle(0.0, 44.8, 100.0), FULL, 100.09, 64, Throttle(0.0, 44.8, 100.0)),
    ("sent before the cut, refused late", Throttle(0.0, 44.8, 100.0), LATE, 101.9, 64, Throttle(0.0, 44.8, 100.0)),
    ("sent after it: 44.8 x 0.7", Throttle(0.0, 44.8, 100.0), LATE, 102.0, 64, Throttle(0.0, 44.8 * 0.7, 102.0)),
    ("never below one", Throttle(0.0, 1.0, 100.0), FULL, 200.0, 1, Throttle(0.0, 1.0, 200.0)),
    ("asked to wait", Throttle(), WAIT_5, 100.0, 64, Throttle(105.0, 44.8, 100.0)),
    ("a shorter wait does not end a longer one", Throttle(120.0, 9.0, 99.95), WAIT_5, 100.0, 64, Throttle(120.0, 9.0, 99.95)),
    ("an absurd wait is an hour", Throttle(), Heard("p", "m", "n", pause_s=1e9), 0.0, 1, Throttle(3600.0)),
    ("an answer: 4 + 1/4", Throttle(0.0, 4.0, 1.0), ANSWERED, 9.0, 3, Throttle(0.0, 4.25, 1.0)),
    ("grown to the slots: no ceiling is left", Throttle(0.0, 63.99, 1.0), ANSWERED, 9.0, 3, Throttle(0.0, None, 1.0)),
    ("an answer where nothing is limited", Throttle(), ANSWERED, 9.0, 3, Throttle()),
    ("a node that is away says nothing of the pool", Throttle(), AWAY, 9.0, 3, Throttle()),
]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "heard", "now", "busy", "after"), [row[1:] for row in POOLS], ids=[r[0] for r in POOLS]
)
def test_a_pool(before: Throttle, heard: Heard, now: float, busy: int, after: Throttle) -> None:
    assert throttle.hear(before, heard, now, busy=busy, slots=64) == after


def test_a_pool_of_one_slot_is_paused_and_never_cut() -> None:
    assert throttle.hear(Throttle(), WAIT_5, 10.0, busy=1, slots=1) == Throttle(15.0, None, 10.0)


DOORS: list[tuple[str, Door, Heard, float, Door]] = [
    ("the first refusal", Door(), AWAY, 10.0, Door(1, 0.0)),
    ("the fifth in a row shuts it for ten seconds", Door(4, 0.0), AWAY, 10.0, Door(5, 20.0)),
    ("a trial that failed shuts it again", Door(5, 20.0), AWAY, 21.0, Door(6, 31.0)),
    ("an answer between them counts anew", Door(4, 0.0), ANSWERED, 10.0, Door()),
    ("a trial that was answered opens it", Door(7, 31.0), ANSWERED, 22.0, Door()),
    ("a limit of the pool is no fault of the node", Door(4, 0.0), WAIT_5, 10.0, Door(4, 0.0)),
]


@pytest.mark.parametrize(("before", "heard", "now", "after"), [row[1:] for row in DOORS], ids=[row[0] for row in DOORS])
def test_a_door(before: Door, heard: Heard, now: float, after: Door) -> None:
    assert throttle.knock(before, heard, now) == after


def test_where_a_door_stands() -> None:
    shut = Door(5, 20.0)
    stands = [throttle.stands(*each) for each in ((Door(4, 0.0), 9.0), (shut, 19.9), (shut, 20.0))]
    assert stands == ["open", "shut", "trial"]
    assert throttle.stands(throttle.tried(shut, 20.0), 29.9) == "shut"


heards = st.sampled_from([ANSWERED, FULL, WAIT_5, AWAY])
moments = st.lists(st.tuples(heards, st.floats(0, 20), st.integers(0, 80)), max_size=60)


@given(moments, st.integers(1, 64))
def test_the_ceiling_is_at_least_one_and_below_the_slots_and_a_pause_lets_nobody_through(
    told: list[tuple[Heard, float, int]], slots: int
) -> None:
    state, now = Throttle(), 0.0
    for heard, passed, busy in told:
        now += passed
        state = throttle.hear(state, heard, now, busy=busy, slots=slots)
        assert state.ceiling is None or 1.0 <= state.ceiling < slots
        room = throttle.room(state, now, busy=busy, slots=slots)
        assert 0 <= room <= max(0, slots - busy)
        assert room == 0 or state.paused_until <= now


@given(moments)
def test_cuts_are_apart_and_answers_alone_bring_all_slots_back(told: list[tuple[Heard, float, int]]) -> None:
    state, now, cuts = Throttle(), 100.0, []
    for heard, passed, busy in told:
        now += passed
        after = throttle.hear(state, heard, now, busy=busy, slots=16)
        cuts += [now] if after.cut_at != state.cut_at else []
        state = after
    assert all(later - earlier >= throttle.CUT_EVERY_S - 1e-9 for earlier, later in pairwise(cuts))  # floats
    for _ in range(16 * 16):
        state = throttle.hear(state, ANSWERED, now, busy=1, slots=16)
    assert throttle.is_over(state, state.paused_until)


@given(st.lists(st.floats(0, 4), min_size=5, max_size=60))
def test_a_dead_node_gets_one_call_in_ten_seconds_and_keeps_getting_them(passed: list[float]) -> None:
    door, now, calls = Door(), 0.0, []
    for seconds in passed:
        now += seconds
        state = throttle.stands(door, now)
        if state != "shut":
            calls.append(now)
            door = throttle.knock(throttle.tried(door, now) if state == "trial" else door, AWAY, now)
    later = calls[throttle.FAILURES - 1 :]
    assert all(b - a >= throttle.SHUT_S for a, b in pairwise(later))
    assert throttle.stands(door, now + throttle.SHUT_S) == "trial"
