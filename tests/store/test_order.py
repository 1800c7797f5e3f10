"""The laws of whose turn it is, over a state with a virtual clock."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.ledger.order import AGED, ALL, URGENT, Order, Pair, Plan, Queues, Rules, Waiting, ahead, bounded, guess, plan

pytestmark = pytest.mark.fast

NOW = 1_000.0
weights = st.integers(1, 5_000)


def waiting(pk: int, *, due: float | None = None, weight: int = 1, at: float = NOW) -> Waiting:
    return Waiting(float(pk) if due is None else due, pk, weight, at)


def backlog(lanes: dict[Pair, int], *, at: float = NOW) -> Queues:
    """So many rows of each, numbered through."""
    pairs = [pair for pair, count in lanes.items() for _ in range(count)]
    return Queues((pair, waiting(pk, at=at)) for pk, pair in enumerate(pairs))


def taken(order: Order, queues: Queues, picks: int, lanes: tuple[int, ...] = ALL) -> list[tuple[Pair, Waiting]]:
    found = [order.take(queues, NOW, lanes) for _ in range(picks)]
    return [one for one in found if one is not None]


# ---- lanes


@given(st.integers(0, 200))
@settings(max_examples=10)
def test_with_all_lanes_backlogged_the_picks_are_eight_to_three_to_one(before: int) -> None:
    """Within a tenth of each share over any 1,000 picks."""
    order, queues = Order(), backlog({Pair(lane, "t"): 1_300 for lane in range(3)})
    taken(order, queues, before)
    found = Counter(pair.lane for pair, _ in taken(order, queues, 1_000))
    assert all(abs(found[lane] - 1_000 * share / 12) <= 100 * share / 12 for lane, share in enumerate((8, 3, 1)))


@pytest.mark.parametrize(
    ("lanes", "picks"),
    [
        ((0, 1, 2), "010010020010"),  # 8 + 3 + 1 of twelve, spread
        ((0, 2), "000020000"),  # one in nine
        ((1, 2), "1121"),  # one in four
        ((2,), "22"),
    ],
)
def test_the_order_of_lanes(lanes: tuple[int, ...], picks: str) -> None:
    queues = backlog({Pair(lane, "t"): 20 for lane in lanes})
    found = "".join(str(pair.lane) for pair, _ in taken(Order(), queues, len(picks)))
    assert Counter(found) == Counter(picks)
    assert found[0] == picks[0]


def test_a_realtime_row_that_comes_to_a_quiet_lane_is_next() -> None:
    order, queues = Order(), backlog({Pair(1, "t"): 50, Pair(2, "t"): 50})
    for picks in range(1, 20):
        taken(order, queues, picks % 4 + 1)
        queues.add(Pair(0, "t"), waiting(1_000 + picks))
        assert [pair.lane for pair, _ in taken(order, queues, 1)] == [0]


@pytest.mark.parametrize(
    ("lane", "waited_s", "share"),
    [
        (2, 899.0, 1 / 12),  # 1 of 8 + 3 + 1
        (2, 901.0, 2 / 13),  # 2 of 8 + 3 + 2
        (1, 59.0, 3 / 12),
        (1, 61.0, 6 / 15),  # 6 of 8 + 6 + 1
        (0, 10_000.0, 8 / 12),  # realtime never ages: nothing is before it
    ],
)
def test_a_lane_whose_oldest_row_has_waited_too_long_gets_twice_its_weight(
    lane: int, waited_s: float, share: float
) -> None:
    queues = backlog({Pair(other, "t"): 1_000 for other in range(3)})
    queues.add(Pair(lane, "t"), waiting(-1, due=-1.0, at=NOW - waited_s))
    order, found = Order(), 0
    for _ in range(780):
        pair, row = taken(order, queues, 1)[0]
        found += pair.lane == lane
        if row.pk == -1:
            queues.add(pair, row)  # it stays the oldest
    assert found / 780 == pytest.approx(share, rel=0.05)


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=300))
def test_however_lanes_come_and_go_urgent_work_keeps_half_and_nobody_starves(steps: list[tuple[int, bool]]) -> None:
    """Batch and normal rows are as old as can be; realtime and batch always have rows, normal comes and goes."""
    order, queues = Order(), backlog({Pair(0, "t"): 400, Pair(2, "t"): 400}, at=-1e9)
    picks: list[int] = []
    for pk, (lane, comes) in enumerate(steps):
        if comes:
            queues.add(Pair(lane, "t"), waiting(10_000 + pk, at=-1e9))
        picks += [pair.lane for pair, _ in taken(order, queues, 1)]
    total = 8 + AGED * 3 + AGED * 1
    since: list[int] = []
    for lane in picks:
        since = [] if lane == 2 else [*since, lane]
        assert len(since) <= total  # 2 of 16 at least, and never later than in a whole round
    assert picks.count(0) >= len(picks) // 2 - total


@given(st.lists(st.integers(0, 2), min_size=1, max_size=40))
def test_a_reserved_slot_takes_no_batch_row_and_costs_batch_no_turn(lanes: list[int]) -> None:
    order = Order()
    queues = Queues((Pair(lane, "t"), waiting(pk)) for pk, lane in enumerate(lanes))
    found = taken(order, queues, len(lanes), URGENT)
    assert Counter(pair.lane for pair, _ in found) == Counter(lane for lane in lanes if lane != 2)


# ---- tenants


@given(st.lists(st.lists(weights, min_size=1, max_size=3), min_size=1, max_size=8), st.randoms(use_true_random=False))
@settings(max_examples=50)
def test_each_backlogged_tenant_gets_half_of_its_fair_share_of_the_tokens_at_least(
    kinds: list[list[int]], _: object
) -> None:
    """Of any 100 picks, whatever their sizes, less what one row of the largest size is: a row is not divided."""
    tenants = [f"t{i}" for i in range(len(kinds))]
    order, queues, pk = Order(), Queues(), 0
    for tenant, sizes in zip(tenants, kinds, strict=True):
        for i in range(200):
            queues.add(Pair(1, tenant), waiting(pk := pk + 1, weight=sizes[i % len(sizes)]))
    for _ in range(2):
        tokens: Counter[str] = Counter()
        for _ in range(100):
            pair, row = taken(order, queues, 1)[0]
            tokens[pair.tenant] += row.weight
            if len(queues.lanes[1][pair.tenant]) < 100:
                queues.add(pair, waiting(pk := pk + 1, weight=row.weight))
        fair = sum(tokens.values()) / (2 * len(tenants))
        assert all(tokens[tenant] >= fair - max(map(max, kinds)) for tenant in tenants)


def test_each_of_many_tenants_gets_half_of_its_fair_share_when_rows_are_alike() -> None:
    order, queues = Order(), backlog({Pair(1, f"t{i}"): 100 for i in range(20)})
    tokens = Counter(pair.tenant for pair, _ in taken(order, queues, 100))
    assert set(tokens.values()) == {5}


def test_a_quiet_tenant_is_next_and_a_greedy_one_cannot_be_quiet_to_save_turns() -> None:
    order, queues = Order(), backlog({Pair(1, "greedy"): 500})
    taken(order, queues, 100)
    queues.add(Pair(1, "quiet"), waiting(9_999))
    assert taken(order, queues, 1)[0][0].tenant == "quiet"
    for pk in range(10_000, 10_100):
        queues.add(Pair(1, "quiet"), waiting(pk))
    assert Counter(pair.tenant for pair, _ in taken(order, queues, 20)) == {"quiet": 10, "greedy": 10}


def test_fair_picks_of_several_processes_are_fair_together() -> None:
    """Each knows only what it has picked itself; one is quicker than the others."""
    orders, queues = [Order() for _ in range(3)], backlog({Pair(1, f"t{i}"): 200 for i in range(7)})
    tokens = Counter(taken(orders[who], queues, 1)[0][0].tenant for who in [0, 0, 1, 0, 2] * 140)
    assert all(abs(count - 100) <= 3 for count in tokens.values())


def test_an_idle_tenant_gets_no_credit_for_the_time_that_it_was_idle() -> None:
    order, queues = Order(), backlog({Pair(1, "a"): 1, Pair(1, "b"): 300, Pair(1, "c"): 300})
    taken(order, queues, 401)  # a is served once and gone; b and c 200 times each
    for pk in range(2_000, 2_030):
        queues.add(Pair(1, "a"), waiting(pk))
    assert Counter(pair.tenant for pair, _ in taken(order, queues, 30)) == {"a": 10, "b": 10, "c": 10}


def test_what_is_long_gone_is_forgotten() -> None:
    order = Order()
    for i in range(500):
        queues = backlog({Pair(1, f"t{i}"): 1, Pair(1, "stays"): 2})
        taken(order, queues, 3)
    assert len(order.spent[1]) <= 3


@pytest.mark.parametrize(
    ("size", "max_tokens", "writes", "weight"),
    [
        (4_000, 300, True, 1_600),  # a token for four bytes, and what is written counts twice
        (4_000, None, True, 1_512),  # 256 are guessed
        (4_000, None, False, 1_000),  # an embedding writes nothing
    ],
)
def test_the_guess_of_a_request(size: int, max_tokens: int | None, writes: bool, weight: int) -> None:
    assert guess(size, max_tokens, writes=writes) == weight


def test_a_guess_is_corrected_when_the_call_has_ended() -> None:
    order, queues = Order(), Queues((Pair(1, name), waiting(pk, weight=100)) for pk, name in enumerate("aabb"))
    taken(order, queues, 1)
    order.settle(Pair(1, "a"), 100, 0)  # it was refused and cost nothing
    assert [pair.tenant for pair, _ in taken(order, queues, 1)] == ["a"]


# ---- inside a tenant


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=40, unique=True))
def test_what_is_due_first_goes_first_then_what_came_first(dues: list[float]) -> None:
    queues = Queues((Pair(1, "t"), waiting(pk, due=round(due, -5))) for pk, due in enumerate(dues))
    found = [(row.due, row.pk) for _, row in taken(Order(), queues, len(dues))]
    assert found == sorted(found)


# ---- plans

rows = st.lists(st.tuples(st.integers(0, 2), st.sampled_from("abcd"), weights, st.integers(0, 99)), max_size=40)


def some(kinds: list[tuple[int, str, int, int]], first: int) -> list[tuple[Pair, Waiting]]:
    return [(Pair(lane, name), waiting(first + i, due=due, weight=w)) for i, (lane, name, w, due) in enumerate(kinds)]


@given(rows, rows, st.integers(0, 30))
def test_a_plan_is_what_is_picked_then_and_changes_nothing(held: list, found: list, count: int) -> None:
    order, shelf = Order(), Queues(some(held, 1))
    planned = plan(order, shelf, some(found, 100), count, NOW, ())
    assert planned == plan(order, shelf, list(reversed(some(found, 100))), count, NOW, ())
    assert (sum(shelf.counts()), order) == (len(held), Order())
    everything = Queues([*some(held, 1), *some(found, 100)])
    picked = [row.pk for _, row in taken(order, everything, count)]
    assert list(planned.pks) == [pk for pk in picked if pk >= 100]


@given(rows, st.integers(0, 30))
def test_what_begins_ahead_is_what_is_picked_then(held: list, count: int) -> None:
    queues, order = Queues(some(held, 1)), Order()
    expected = ahead(order, queues, count, NOW)
    assert [row.pk for _, row in taken(order, queues, count)] == expected


@pytest.mark.parametrize(
    ("cut", "planned"),
    [
        ((), Plan((1, 10, 11, 12))),  # all that there is
        ((Pair(1, "a"),), Plan((1,), blind=True)),  # another row of a's may be the next but one
    ],
)
def test_a_plan_ends_where_it_cannot_know_who_is_next(cut: tuple[Pair, ...], planned: Plan) -> None:
    found = [(Pair(1, "a"), waiting(1)), *((Pair(1, "b"), waiting(pk)) for pk in (10, 11, 12))]
    assert plan(Order(), Queues(), found, 8, NOW, cut) == planned


def test_weights_and_thresholds_are_rules() -> None:
    queues = backlog({Pair(lane, "t"): 100 for lane in range(3)})
    found = Counter(pair.lane for pair, _ in taken(Order(Rules(weights=(1, 1, 2))), queues, 100))
    assert found == {0: 25, 1: 25, 2: 50}


@pytest.mark.parametrize(
    ("batch", "kept"),
    [
        (-1, (1, 4)),  # more are held than there is room for
        (0, (1, 4)),
        (1, (1, 2, 4)),
        (9, (1, 2, 3, 4)),
    ],
)
def test_batch_rows_are_bounded_and_no_others(batch: int, kept: tuple[int, ...]) -> None:
    assert bounded((1, 2, 3, 4), {1: 0, 2: 2, 3: 2, 4: 1}, batch) == kept


def test_a_row_that_waits_again_is_planned_once_although_it_is_believed_to_be_held() -> None:
    lost = Waiting(1.0, 7, 1, 0.0)
    held = Queues([(Pair(2, "t"), lost), (Pair(1, "t"), Waiting(0.0, 3, 1, 0.0))])
    assert plan(Order(), held, [(Pair(1, "t"), lost)], 5, 0.0, ()).pks == (7,)
