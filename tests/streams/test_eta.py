"""The estimate of when a request will be answered: laws, and a simulation that it is held against."""

import random
import statistics
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.ledger.backlog import Done
from streams import eta, rate
from streams.eta import Line
from streams.rate import Rate
from tests.streams.lanes import Pool, Row, poisson

CALL_S = 2.0
COUNTS = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 300), max_size=4)
COMING = st.dictionaries(st.sampled_from("abcd"), st.floats(0, 20), max_size=4)
LINES = st.builds(Line, st.tuples(COUNTS, COUNTS, COUNTS), st.tuples(COMING, COMING, COMING), st.integers(0, 8))
LANES = st.integers(0, 2)


def at(per_s: float) -> Rate:
    return Rate(per_s, CALL_S, (CALL_S,))


PICKS = [
    # nothing else waits: it is the next one
    (Line(), 1, "a", 0, 1),
    # five of its own before it
    (Line(({}, {"a": 5}, {})), 1, "a", 5, 6),
    # the other tenant takes turns: 3 own, 2.5 of its ten, itself
    (Line(({}, {"a": 3, "b": 10}, {})), 1, "a", 2, 3 + 2.5),
    # a small tenant has no more turns than rows
    (Line(({}, {"a": 100, "b": 2}, {})), 1, "a", 99, 100 + 2),
    # for 3 of normal realtime has 8, batch 1
    (Line(({"r": 100}, {"a": 3}, {"z": 100})), 1, "a", 2, 3 + 8 + 1),
    # lanes that run out give way: 4 realtime rows, one batch row's share of 30 / 3
    (Line(({"r": 4}, {"a": 30}, {"z": 100})), 1, "a", 29, 30 + 4 + 10),
    # batch behind both: eight and three for each of its own
    (Line(({"r": 100}, {"n": 100}, {"a": 2})), 2, "a", 1, 2 + 16 + 6),
    # what goes on coming counts only once it is there
    (Line(({}, {"a": 1}, {}), ({"r": 5.0}, {}, {})), 1, "a", 0, 1),
]


@pytest.mark.parametrize(("line", "lane", "tenant", "ahead", "expected"), PICKS)
def test_picks_before_a_row(line: Line, lane: int, tenant: str, ahead: int, expected: float) -> None:
    assert eta.picks(line, lane, tenant, ahead) == pytest.approx(expected)


def test_who_goes_on_coming_is_picked_too() -> None:
    alone = Line(({}, {}, {"a": 10}))
    beside = Line(({}, {}, {"a": 10}), ({"r": 5.0}, {}, {}))
    # ten a second: ten rows take 1 s; with five realtime rows coming each second, 2 s
    assert eta.pick_s(alone, 10.0, 2, "a", 9) == pytest.approx(1.0)
    assert eta.pick_s(beside, 10.0, 2, "a", 9) == pytest.approx(2.0)
    # and were there a hundred, batch keeps its ninth of what both get
    flood = Line(({}, {}, {"a": 10}), ({"r": 100.0}, {}, {}))
    assert eta.pick_s(flood, 10.0, 2, "a", 9) == pytest.approx(10 * 9 / 10)


@given(LINES, LANES, st.integers(0, 300), st.floats(0.01, 1000))
def test_more_waiting_is_never_sooner(line: Line, lane: int, ahead: int, per_s: float) -> None:
    usual = eta.answer_s(line, at(per_s), lane, "a", ahead)
    assert eta.answer_s(line, at(per_s), lane, "a", ahead + 1) >= usual - 1e-6
    for more in range(3):
        for tenant in "ae":
            counts = [dict(each) for each in line.waiting]
            counts[more][tenant] = counts[more].get(tenant, 0) + 5
            longer = Line((counts[0], counts[1], counts[2]), line.arriving, line.free)
            assert eta.answer_s(longer, at(per_s), lane, "a", ahead) >= usual - 1e-6


@given(LINES, LANES, st.integers(0, 300), st.floats(0.01, 1000), st.floats(1, 10))
def test_a_faster_pool_is_never_later(line: Line, lane: int, ahead: int, per_s: float, times: float) -> None:
    slow = eta.answer_s(line, at(per_s), lane, "a", ahead)
    assert eta.answer_s(line, at(per_s * times), lane, "a", ahead) <= slow + 1e-6


@given(LANES, st.floats(0.01, 1000), st.integers(1, 8))
def test_an_empty_queue_takes_one_call(lane: int, per_s: float, free: int) -> None:
    assert eta.newcomer_s(Line(free=free), at(per_s), lane) == CALL_S
    assert eta.all_s(Line(free=free), at(per_s), lane) == 0.0


@given(LINES, LANES, st.floats(0.01, 1000))
def test_the_last_of_a_lane_is_never_before_its_first(line: Line, lane: int, per_s: float) -> None:
    for tenant, count in line.waiting[lane].items():
        assert eta.position(line, lane, tenant, 0) <= eta.position(line, lane, tenant, count - 1)
    assert eta.position(line, lane, "a", 0) >= 1


@given(LINES, LANES, st.floats(0.01, 1000))
def test_a_lane_always_gets_its_share(line: Line, lane: int, per_s: float) -> None:
    """However many others come and wait: its weight's share, and in it a tenant's part."""
    tenants = len(line.waiting[lane].keys() | line.arriving[lane].keys() | {"a"})
    share = per_s * eta.WEIGHTS[lane] / sum(eta.WEIGHTS) / tenants
    assert eta.pick_s(line, per_s, lane, "a", 9) <= 10 / share + 1e-6


def answer(accepted: float, opened: float, closed: float) -> Done:
    return Done(("p", "m"), 1, accepted, opened, closed, closed - opened)


def test_nothing_answered_is_not_known() -> None:
    assert rate.measure([], slots=4, now=100.0) is None


def test_a_pool_without_load_is_measured_by_its_calls() -> None:
    """Ten calls of 2 s in 100 s: a tenth of an answer a second, but two slots could give one."""
    calls = [answer(at, at, at + 2) for at in range(0, 100, 10)]
    found = rate.measure(calls, slots=2, now=100.0)
    assert found is not None
    assert (found.per_s, found.call_s) == (pytest.approx(1.0), 2.0)
    assert found.lanes[1] == pytest.approx(0.1, rel=0.2)


def test_under_load_what_came_counts_and_not_what_slots_promise() -> None:
    """Four slots of 1 s, but something (a rate limit) lets only one answer a second come."""
    calls = [answer(0.0, at - 1, at) for at in range(1, 301)]
    found = rate.measure(calls, slots=4, now=300.0, waiting_since=0.0)
    assert found is not None
    assert found.per_s == pytest.approx(1.0, rel=0.05)


def test_a_pool_that_has_stopped_gets_slower_and_slower() -> None:
    calls = [answer(0.0, at - 1, at) for at in range(1, 101)]
    rates = [rate.measure(calls, slots=1, now=now, waiting_since=50.0) for now in (100.0, 200.0, 600.0)]
    found = [each.per_s for each in rates if each is not None]
    assert found == sorted(found, reverse=True)
    assert found[-1] < found[0] / 2


def test_a_flood_is_no_steady_arrival() -> None:
    assert rate.steady([995.0] * 500, 1000.0) == 0.0
    assert rate.steady([1000.0 - n for n in range(300)], 1000.0) == pytest.approx(1.0)


def test_what_runs_already_takes_what_others_took_beyond_it() -> None:
    found = Rate(1.0, 2.0, (1.0, 2.0, 3.0, 9.0))
    assert [found.rest_s(elapsed) for elapsed in (0.0, 2.5, 9.5)] == [2.5, 3.5, None]


def scenario(seed: int) -> list[tuple[Row, float]]:
    """An hour and a half of a pool of 8 slots: steady arrivals in all lanes, floods of a few tenants, and an estimate for one row in
    seventeen, made of what is known at its arrival.
    """
    chance = random.Random(seed)
    asked: list[tuple[Row, float]] = []

    def ask(pool: Pool, row: Row) -> None:
        if len(pool.arrived) % 17:
            return
        waiting = pool.waiting()
        ahead = waiting[row.lane][row.tenant] - 1
        oldest = min((queue[0].accepted_at for lane in pool.queues for queue in lane.values() if queue), default=None)
        since = pool.ended[-400].closed_at if len(pool.ended) > 400 else None
        known = rate.measure(pool.answers(), slots=pool.slots, now=pool.now, waiting_since=oldest, since=since)
        if known is None:
            return
        coming: list[defaultdict[str, list[float]]] = [defaultdict(list) for _ in range(3)]
        for each in pool.arrived[-5000:]:
            coming[each.lane][each.tenant].append(each.accepted_at)
        steady = [{name: rate.steady(all_, pool.now) for name, all_ in lane.items()} for lane in coming]
        line = Line(
            (waiting[0], waiting[1], waiting[2]), (steady[0], steady[1], steady[2]), pool.slots - len(pool.running)
        )
        asked.append((row, eta.answer_s(line, known, row.lane, row.tenant, ahead)))

    pool = Pool(8, chance, ask)
    rows: list[Row] = []
    for lane, per_s, tenants in ((0, 0.6, "xy"), (1, 0.8, "xyz"), (2, 0.2, "z")):
        rows += [Row(lane, chance.choice(tenants), moment, pool.work(1.5)) for moment in poisson(chance, per_s, 5400.0)]
    for start, lane, tenant, count in (
        (600, 1, "x", 800),
        (900, 2, "z", 400),
        (3600, 1, "y", 1500),
        (3500, 2, "w", 900),
    ):
        rows += [Row(lane, tenant, start + n * 0.01, pool.work(1.5)) for n in range(count)]
    pool.run(rows)
    return asked


@pytest.mark.parametrize("seed", [7, 11])
def test_in_a_simulation_half_of_the_estimates_are_within_a_quarter(seed: int) -> None:
    asked = scenario(seed)
    errors = [abs(said - (row.closed_at - row.accepted_at)) / (row.closed_at - row.accepted_at) for row, said in asked]
    long = [(row.closed_at - row.accepted_at, said) for row, said in asked if row.closed_at - row.accepted_at > 30]
    assert len(long) > 60
    assert statistics.median(errors) <= 0.25
    assert statistics.median(abs(said - took) / took for took, said in long) <= 0.25
    assert 0.8 <= statistics.median(said / took for took, said in long) <= 1.25  # neither hopeful nor gloomy
