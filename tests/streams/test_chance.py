"""Intervals and tests against the figures of their authors and of tables, and laws that hold for any sample."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.prompting import chance
from streams.prompting.chance import Between

pytestmark = pytest.mark.fast

hits = st.integers(1, 400).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of)))
values = st.lists(st.floats(0, 1e6), min_size=2, max_size=60)
A = (27.5, 21.0, 19.0, 23.6, 17.0, 17.9, 16.9, 20.1, 21.9, 22.6, 23.1, 19.6, 19.0, 21.7, 21.4)
B = (27.1, 22.0, 20.8, 23.4, 23.4, 23.5, 25.8, 22.0, 24.8, 20.2, 21.9, 22.1, 22.9, 30.5)


@pytest.mark.parametrize(
    ("of", "low", "high"),
    [((81, 263), 0.2553, 0.3662), ((15, 148), 0.0624, 0.1605), ((0, 20), 0.0, 0.1611), ((1, 29), 0.0061, 0.1718)],
)
def test_wilsons_interval_is_that_of_newcombes_first_table(of: tuple[int, int], low: float, high: float) -> None:
    found = chance.wilson(*of)
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@pytest.mark.parametrize(
    ("second", "first", "low", "high"),
    [((56, 70), (48, 80), 0.0524, 0.3339), ((9, 10), (3, 10), 0.1705, 0.8090), ((10, 10), (0, 10), 0.6075, 1.0)],
)
def test_the_interval_of_a_difference_is_that_of_newcombes_second_table(
    second: tuple[int, int], first: tuple[int, int], low: float, high: float
) -> None:
    found = chance.rates(first, second)
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@pytest.mark.parametrize(
    ("first", "second", "p"), [((3, 4), (1, 4), 0.485714), ((1, 10), (11, 14), 0.002759), ((0, 0), (3, 5), 1.0)]
)
def test_fishers_test_tells_what_the_lady_knew_of_tea(
    first: tuple[int, int], second: tuple[int, int], p: float
) -> None:
    assert chance.fisher(first, second) == pytest.approx(p, abs=1e-6)


@pytest.mark.parametrize(("freedom", "t"), [(1, 12.7062), (10, 2.2281), (30, 2.0423), (1e6, 1.95997)])
def test_students_curve_is_that_of_the_tables(freedom: float, t: float) -> None:
    assert chance.student_at(0.975, freedom) == pytest.approx(t, abs=5e-5)


def test_means_are_held_against_each_other_as_welch_did() -> None:
    found = chance.means(A, B)
    assert found is not None
    assert (found.difference, found.p) == (pytest.approx(2.78), pytest.approx(0.0116, abs=1e-4))
    assert (found.low, found.high) == (pytest.approx(0.6733, abs=1e-4), pytest.approx(4.8867, abs=1e-4))


def test_ranks_are_held_against_each_other_with_ties() -> None:
    """By hand: ranks of the first 1.5 1.5 3 4 5 6 7 9 (37), U = 1, mean 32, spread sqrt(64/12 · (17 - 12/240)) = 9.5079."""
    first, second = [1, 1, 2, 3, 4, 5, 6, 8], [7, 8.5, 9, 10, 11, 11, 12, 13]
    assert chance.ranks(first, second) == pytest.approx(0.00134, abs=5e-5)


def test_a_median_lies_between_the_fortieth_and_the_sixty_first_of_a_hundred() -> None:
    assert chance.quantile(list(range(1, 101)), 0.5) == Between(50, 40, 61)


def test_chances_told_together_are_raised() -> None:
    assert chance.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_of_nothing_nothing_is_said() -> None:
    assert (chance.wilson(0, 0), chance.mean([1.0]), chance.means([1.0], [2.0, 3.0])) == (Between(0, 0, 1), None, None)
    assert (chance.quantile([], 0.5), chance.ranks([1.0] * 7, [2.0] * 9), chance.holm([])) == (None, None, [])


@given(hits)
def test_a_rate_lies_in_its_interval_and_that_between_0_and_1(of: tuple[int, int]) -> None:
    found = chance.wilson(*of)
    assert 0 <= found.low <= found.value <= found.high <= 1


@given(hits)
def test_misses_have_the_interval_of_hits_turned_around(of: tuple[int, int]) -> None:
    found, turned = chance.wilson(*of), chance.wilson(of[1] - of[0], of[1])
    assert (turned.low, turned.high) == (pytest.approx(1 - found.high), pytest.approx(1 - found.low))


@given(hits, hits)
@settings(max_examples=60)
def test_who_is_first_changes_the_sign_and_no_more(one: tuple[int, int], two: tuple[int, int]) -> None:
    found, turned = chance.rates(one, two), chance.rates(two, one)
    assert (turned.difference, turned.p) == (pytest.approx(-found.difference), pytest.approx(found.p))
    assert turned.low is not None
    assert turned.low == pytest.approx(-(found.high or 0.0))
    assert 0 < found.p <= 1


@given(values, st.floats(0.05, 0.95))
def test_a_quantile_and_its_interval_are_values_of_the_sample(sample: Sequence[float], share: float) -> None:
    found = chance.quantile(sample, share)
    assert found is not None
    assert found.low <= found.value <= found.high
    assert {found.low, found.value, found.high} <= set(sample)


@given(st.lists(st.integers(0, 50), min_size=8, max_size=60), st.lists(st.integers(0, 50), min_size=8, max_size=60))
def test_ranks_know_no_unit_and_no_order(one: list[int], two: list[int]) -> None:
    p = chance.ranks(one, two)
    assert p is not None
    assert 0 <= p <= 1
    assert chance.ranks([3 * each + 7 for each in two], [3 * each + 7 for each in reversed(one)]) == pytest.approx(p)


@given(st.integers(1, 60), st.floats(0.01, 0.99))
def test_chances_of_a_binomial_rise_to_one(n: int, p: float) -> None:
    found = [chance.binomial(k, n, p) for k in range(n + 1)]
    assert all(before <= after + 1e-12 for before, after in pairwise(found))
    assert (found[-1], found[0]) == (1.0, pytest.approx((1 - p) ** n, rel=1e-9, abs=1e-300))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_a_raised_chance_is_never_smaller_and_keeps_its_place(chances: list[float]) -> None:
    raised = chance.holm(chances)
    assert all(before <= after <= 1 for before, after in zip(chances, raised, strict=True))
    order = sorted(range(len(chances)), key=chances.__getitem__)
    assert sorted(raised[at] for at in order) == [raised[at] for at in order]
