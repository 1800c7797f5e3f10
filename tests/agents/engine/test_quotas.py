"""A minute's calls and tokens are borrowed in blocks; a clock that only the test moves."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.engine.quotas import BLOCKS, Bound, Bounds, Quotas, spread
from store.ledger.quotas import Lent, Most, granted
from store.ledger.types.claims import Pool

pytestmark = pytest.mark.fast

POOL = ("p", "m")


class Minute:
    """The ledger's row and the time; sleeping moves it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.taken: dict[int, tuple[int, int]] = {}
        self.asked = 0

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    async def borrow(self, _: Pool, most: Most, calls: int, tokens: int) -> Lent:
        self.asked += 1
        minute = int(self.now // 60)
        had = self.taken.get(minute, (0, 0))
        lent = Lent(granted(most.calls, had[0], calls), granted(most.tokens, had[1], tokens), 60 - self.now % 60)
        self.taken[minute] = (had[0] + lent.calls, had[1] + lent.tokens)
        return lent


def quotas(minute: Minute, **bound: int) -> Quotas:
    return Quotas(Bounds({"p/m": Bound(**bound)}), minute.borrow, minute.clock, minute.sleep)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 400), st.floats(0, 30)), max_size=60),
    st.integers(1, 30),
    st.integers(20, 300),
)
def test_processes_together_never_send_more_than_a_minute_allows(
    calls: list[tuple[int, int, float]], rpm: int, tpm: int
) -> None:
    async def run() -> dict[int, tuple[int, int]]:
        minute = Minute()
        processes = [quotas(minute, rpm=rpm, tpm=tpm) for _ in range(3)]
        sent: dict[int, tuple[int, int]] = {}
        for which, tokens, passed in calls:
            minute.now += passed
            await processes[which].take(POOL, tokens)
            at = int(minute.now // 60)
            had = sent.get(at, (0, 0))
            sent[at] = (had[0] + 1, had[1] + min(tokens, tpm))  # a call beyond a whole minute takes the whole one
        return sent

    assert all(count <= rpm and tokens <= tpm for count, tokens in asyncio.run(run()).values())


async def test_one_process_may_use_the_whole_minute_with_few_statements() -> None:
    minute = Minute()
    mine = quotas(minute, rpm=500)
    for _ in range(500):
        await mine.take(POOL, 1_000_000)
    assert (minute.now, minute.asked) == (0.0, BLOCKS)
    await mine.take(POOL, 1)
    assert minute.now == 60.0


async def test_a_pool_without_a_bound_asks_nothing() -> None:
    minute = Minute()
    await Quotas(Bounds({"p/m": Bound(concurrency=3)}), minute.borrow, minute.clock).take(POOL, 10)
    assert minute.asked == 0


def test_a_model_is_bounded_by_its_own_line_or_its_providers() -> None:
    table = Bounds({"p/m": Bound(rpm=1), "p/*": Bound(rpm=2)})
    assert [table.of(pool).rpm for pool in (("p", "m"), ("p", "x"), ("q", "m"))] == [1, 2, None]


@pytest.mark.parametrize(
    ("slots", "most", "given_"),
    [([4, 4], None, [4, 4]), ([4, 4], 9, [4, 4]), ([4, 4], 5, [3, 2]), ([1, 8], 5, [1, 4]), ([3, 3, 3], 2, [1, 1, 0])],
)
def test_concurrency_is_spread_over_the_nodes(slots: list[int], most: int | None, given_: list[int]) -> None:
    assert spread(slots, most) == given_
