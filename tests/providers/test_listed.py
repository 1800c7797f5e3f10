"""Prices of the list: ours are those of genai-prices itself, and what it has no price for has none here."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from genai_prices import Usage, calc_price
from genai_prices.data import providers
from hypothesis import assume, given
from hypothesis import strategies as st

from providers import prices
from providers.calls import ChatCall, Message, Spent
from providers.listed import BASES, SOURCE, Listed, Rate, Rates
from schemas.money import to_nano

pytestmark = pytest.mark.fast

ADDRESSES = {
    **BASES,
    "google": "https://generativelanguage.googleapis.com/v1beta/openai",
    "groq": "https://api.groq.com/openai/v1",
    "mistral": "https://api.mistral.ai/v1",
    "deepseek": "https://api.deepseek.com",
    "openrouter": "https://openrouter.ai/api/v1",
    "together": "https://api.together.xyz/v1",
    "own": "http://127.0.0.1:8000/v1",
    "deployed": "https://mine.openai.azure.com/openai",
}
IDS = {"bedrock": "aws"}
LISTED = Listed(ADDRESSES)
TABLE = prices.table({}, "v", LISTED)
MODELS = [
    (ours, model)
    for ours in ADDRESSES
    for whose in providers
    if whose.id == IDS.get(ours, ours)
    for model in whose.models
    if whose.find_model(model.id, all_providers=providers) is model  # some have an id that another one's line takes
]
NOW = datetime.now(UTC)

counts = st.integers(0, 2_000_000)


@st.composite
def spents(draw: st.DrawFn) -> Spent:
    prompt, answer = draw(counts), draw(counts)
    cached = draw(st.integers(0, prompt))
    written = draw(st.integers(0, prompt - cached))
    hour = draw(st.integers(0, written))
    return Spent(prompt, answer, cached, written, draw(st.integers(0, answer)), cache_write_1h_tokens=hour)


def _theirs(provider: str, model: Any, spent: Spent, at: datetime, context: Any) -> int:
    usage = Usage(
        input_tokens=spent.input_tokens,
        output_tokens=spent.output_tokens,
        cache_read_tokens=spent.cached_tokens,
        cache_write_tokens=spent.cache_write_tokens,
        cache_write_1h_tokens=spent.cache_write_1h_tokens,
        output_reasoning_tokens=spent.reasoning_tokens,
    )
    found = calc_price(
        usage, model.id, provider_id=IDS.get(provider, provider), genai_request_timestamp=at, price_context=context
    )
    return to_nano(found.total_price)


@given(which=st.sampled_from(MODELS), spent=spents(), days=st.integers(0, 700))
def test_a_listed_price_is_what_the_package_itself_says_of_that_day(
    which: tuple[str, Any], spent: Spent, days: int
) -> None:
    provider, model = which
    at = NOW - timedelta(days=days)
    ours = TABLE.of(provider, model.id, spent, at)
    if ours.nano is None:  # it has no price for tokens of this kind: theirs would be 0
        known = model.get_prices(at)
        assert (spent.input_tokens and known.input_mtok is None) or (spent.output_tokens and known.output_mtok is None)
    else:
        assert ours.nano == _theirs(provider, model, spent, at, None)
        assert ours.price is not None and ours.price.source == SOURCE


TIERS = [
    (provider, model, context)
    for provider, model in MODELS
    for context in {tuple(each.when.items()) for each in model.price_variants or ()}
    if len(context) == 1 and context[0][0] in {"processing", "service_tier", "speed"} and context[0][1] != "default"
]


@given(which=st.sampled_from(TIERS), spent=spents())
def test_so_is_the_price_of_a_service_tier(which: tuple[str, Any, Any], spent: Spent) -> None:
    provider, model, ((kind, tier),) = which
    contexts = [dict(each.when) for each in model.price_variants if set(each.when.values()) == {tier}]
    assume(all(each == {kind: tier} for each in contexts))
    told = Spent(spent.input_tokens, spent.output_tokens, spent.cached_tokens, spent.cache_write_tokens, tier=tier)
    ours = TABLE.of(provider, model.id, told, NOW)
    assume(ours.nano is not None)
    assert ours.nano == _theirs(provider, model, told, NOW, {kind: tier})


UNKNOWN = [  # provider, model, tier
    ("openai", "gpt-of-tomorrow", ""),
    ("openai", "gpt-4.1", "tier-of-tomorrow"),  # not the standard price without a word
    ("anthropic", "claude-sonnet-4-5", "priority"),  # a capacity that was bought: the list does not know its price
    ("bedrock", "anthropic.claude-sonnet-4-5-20250929-v1:0", "batch"),  # another one's list says nothing of its tiers
    ("own", "gpt-4.1", ""),  # a server of one's own is not OpenAI, whatever it calls its model
    ("deployed", "gpt-4.1", ""),  # a deployment's name is its owner's
    ("stranger", "gpt-4.1", ""),
]


@pytest.mark.parametrize(("provider", "model", "tier"), UNKNOWN)
def test_what_the_list_does_not_know_is_null_and_never_zero(provider: str, model: str, tier: str) -> None:
    assert TABLE.of(provider, model, Spent(1_000, 10, tier=tier)) == prices.Priced(None, None)


KNOWN = [
    ("openai", "gpt-4.1-2025-04-14"),
    ("openai", "text-embedding-3-small"),
    ("anthropic", "claude-sonnet-4-5"),
    ("bedrock", "anthropic.claude-sonnet-4-5-20250929-v1:0"),
    ("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
    ("bedrock", "amazon.nova-lite-v1:0"),
    ("bedrock", "amazon.titan-embed-text-v2:0"),
]


@pytest.mark.parametrize(("provider", "model"), KNOWN)
def test_models_are_known_by_the_names_that_their_providers_call_them(provider: str, model: str) -> None:
    nano = TABLE.of(provider, model, Spent(1_000_000)).nano
    assert nano is not None and nano > 0


def test_from_a_long_prompt_on_all_of_it_costs_more() -> None:
    rates = Rates(Rate(Decimal(1), ((100, Decimal(2)), (200, Decimal(3)))), Rate(Decimal(1)))
    found = [(rates.dollars(Spent(prompt)) or Decimal(0)) * 1_000_000 for prompt in (100, 101, 200, 201)]
    assert found == [100, 202, 400, 603]


def test_the_own_table_goes_before_the_list_and_its_tiers_have_lines_of_their_own() -> None:
    own = prices.table(
        {"openai/gpt-4.1": {"input_per_million": "7"}, "openai/gpt-4.1@flex": {"input_per_million": "3"}}, "v", LISTED
    )
    found = [own.of("openai", "gpt-4.1", Spent(1_000_000, tier=tier)).nano for tier in ("", "default", "flex", "batch")]
    assert found == [7 * 10**9, 7 * 10**9, 3 * 10**9, None]


def test_tokens_written_into_a_cache_have_a_price_of_their_own() -> None:
    own = prices.table({"p/m": {"input_per_million": "1", "cache_write_per_million": "1.25"}}, "v")
    assert own.of("p", "m", Spent(1_000_000, cache_write_tokens=400_000)).nano == 1_100_000_000


def test_the_version_says_which_package_and_how_new_its_prices_are() -> None:
    package, _, day = LISTED.version.partition("/")
    assert package.count(".") == 2
    assert datetime.fromisoformat(day).year >= 2025


def test_a_lost_call_of_a_tier_is_feared_at_its_price() -> None:
    call = ChatCall("gpt-4.1", (Message("user", "a"),), 30.0, params={"service_tier": "priority"})
    assert prices.upper_estimate(call).tier == "priority"
