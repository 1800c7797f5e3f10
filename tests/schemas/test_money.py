"""Whole nano-dollars: exact, in any order, there and back."""

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.money import from_usd, to_nano, to_usd

pytestmark = pytest.mark.fast

nanos = st.integers(-(10**18), 10**18)


@given(nanos)
def test_what_is_written_is_read_back(nano: int) -> None:
    assert from_usd(to_usd(nano)) == nano


@given(nanos)
def test_what_is_written_is_a_plain_decimal(nano: int) -> None:
    assert re.fullmatch(r"-?\d+\.\d{6}(\d{3})?", to_usd(nano) or "")


@given(st.lists(nanos))
def test_sums_of_what_is_written_are_exact(amounts: list[int]) -> None:
    assert sum(Decimal(to_usd(nano) or "0") for nano in amounts) == Decimal(to_usd(sum(amounts)) or "0")


@given(st.decimals(-(10**6), 10**6, places=9))
def test_nine_digits_lose_nothing(dollars: Decimal) -> None:
    assert Decimal(to_usd(to_nano(dollars)) or "0") == dollars


@given(st.decimals(0, 10**6, places=15))
def test_a_finer_price_is_at_most_half_a_nano_dollar_off(dollars: Decimal) -> None:
    assert abs(Decimal(to_nano(dollars)) - dollars * 10**9) <= Decimal("0.5")


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (None, None),  # nothing priced it: never a silent 0
        (0, "0.000000"),
        (20, "0.000000020"),  # one embedding token
        (1_000, "0.000001"),
        (1_500_000_000, "1.500000"),
        (-1, "-0.000000001"),
    ],
)
def test_as_the_contract_shows_it(nano: int | None, text: str | None) -> None:
    assert (to_usd(nano), from_usd(text)) == (text, nano)
