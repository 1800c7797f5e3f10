"""What calls cost: by table, exactly, and never a silent 0."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers import prices
from providers.calls import ChatCall, EmbedCall, Message, Spent
from schemas.usage import Price

pytestmark = pytest.mark.fast

TABLE = prices.table(
    {
        "openai/gpt-x": {"input_per_million": "0.15", "output_per_million": "0.60", "cached_per_million": "0.075"},
        "openai/*": {"input_per_million": "1", "output_per_million": "2"},
        "gpu/*": {"per_gpu_second": "0.0005"},
        "fake/*": {"input_per_million": "10"},
    },
    version="2026-11",
)
OURS = Price(source="settings", version="2026-11")
DEFAULT = Price(source="default", version="1")

ROWS = [  # provider, model, used, nano-dollars, by which price
    ("openai", "gpt-x", Spent(1000, 100), 1000 * 150 + 100 * 600, OURS),
    ("openai", "gpt-x", Spent(1000, 100, cached_tokens=400), 600 * 150 + 400 * 75 + 100 * 600, OURS),
    ("openai", "gpt-x", Spent(100, 0, cached_tokens=900), 100 * 75, OURS),  # more cached than there are: all of them
    ("openai", "other", Spent(1000, 100), 1000 * 1000 + 100 * 2000, OURS),  # the provider's line
    ("openai", "other", Spent(1000, 0, cached_tokens=1000), 1000 * 1000, OURS),  # no price for cached: as other input
    ("gpu", "m", Spent(10, 10, gpu_seconds=2.5), 1_250_000, OURS),  # 2.5 s x 0.0005 $
    ("gpu", "m", Spent(10, 10), None, None),  # priced by a time that nobody told
    ("local", "smollm2-135m", Spent(10, 10), 0, DEFAULT),
    ("ollama", "llama3.2:latest", Spent(10, 10), 0, DEFAULT),
    ("fake", "fake", Spent(10, 10), 100_000, OURS),  # settings go before defaults
    ("anthropic", "m", Spent(10, 10), None, None),  # unknown: never 0
    ("openai", "gpt-x", Spent(), 0, OURS),
]


@pytest.mark.parametrize(("provider", "model", "spent", "nano", "price"), ROWS)
def test_a_call_is_priced_by_the_nearest_line(
    provider: str, model: str, spent: Spent, nano: int | None, price: Price | None
) -> None:
    assert TABLE.of(provider, model, spent) == prices.Priced(nano, price)


def test_the_double_has_a_price_so_that_sums_mean_something() -> None:
    assert prices.table({}, "v").of("fake", "fake", Spent(100, 10)) == prices.Priced(21_000, DEFAULT)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("openai", {}),
        ("openai/*", {"input_per_million": "cheap"}),
        ("openai/*", {"input_per_million": "-1"}),
        ("openai/*", {"per_gpu_second": "NaN"}),
    ],
)
def test_a_line_that_is_no_price_is_refused_by_name(name: str, line: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"price `{name.replace('*', '[*]')}`"):
        prices.table({name: line}, "v")


tokens = st.integers(0, 10**9)
millis = st.decimals("0", "1000", places=3)
spents = st.builds(Spent, tokens, tokens)


def _table(**line: Decimal) -> prices.PriceTable:
    return prices.table({"p/*": {name: str(amount) for name, amount in line.items()}}, "v")


def _nano(table: prices.PriceTable, spent: Spent) -> int:
    nano = table.of("p", "m", spent).nano
    assert nano is not None
    return nano


def _sum(a: Spent, b: Spent) -> Spent:
    return Spent(a.input_tokens + b.input_tokens, a.output_tokens + b.output_tokens)


@given(a=spents, b=spents, input_per_million=millis, output_per_million=millis)
def test_with_three_decimals_costs_add_up_exactly(
    a: Spent, b: Spent, input_per_million: Decimal, output_per_million: Decimal
) -> None:
    """0.001 $ per million tokens is a nano-dollar per token: nothing is rounded."""
    table = _table(input_per_million=input_per_million, output_per_million=output_per_million)
    assert _nano(table, a) + _nano(table, b) == _nano(table, _sum(a, b))


@given(a=spents, b=spents, price=st.decimals("0", "1000", places=7))
def test_with_any_price_a_sum_is_off_by_a_nano_dollar_at_most(a: Spent, b: Spent, price: Decimal) -> None:
    """Each of three roundings is off by half of one at most, and the difference is whole."""
    table = _table(input_per_million=price, output_per_million=price)
    assert abs(_nano(table, a) + _nano(table, b) - _nano(table, _sum(a, b))) <= 1


@given(a=spents, more=tokens, price=st.decimals("0", "1000", places=7))
def test_more_tokens_never_cost_less(a: Spent, more: int, price: Decimal) -> None:
    table = _table(input_per_million=price, output_per_million=price)
    assert _nano(table, _sum(a, Spent(more, more))) >= _nano(table, a) >= 0


@given(gpu_seconds=st.floats(0, 10**6, allow_nan=False))
def test_gpu_seconds_are_priced_as_they_are_written(gpu_seconds: float) -> None:
    """Not as the binary fraction behind them."""
    spent = Spent(gpu_seconds=gpu_seconds)
    assert _nano(_table(per_gpu_second=Decimal(1)), spent) == pytest.approx(gpu_seconds * 1e9, rel=1e-12, abs=0.5)


def test_a_lost_call_is_estimated_from_above() -> None:
    """900 characters of prose are about 190 tokens: more than that, with `max_tokens` and the whole time-out."""
    call = ChatCall("m", (Message("user", "The quick brown fox jumps over the dog. " * 22),), 30.0, max_tokens=50)
    spent = prices.upper_estimate(call)
    assert 200 < spent.input_tokens < 400
    assert (spent.output_tokens, spent.estimated, spent.gpu_seconds) == (50, True, 30.0)
    assert prices.upper_estimate(EmbedCall("m", ("a", "b"), 5.0)).output_tokens == 0
    assert prices.upper_estimate(ChatCall("m", (), 5.0), output_limit=77).output_tokens == 77
