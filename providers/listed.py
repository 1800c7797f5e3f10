"""Prices as the package genai-prices lists them: looked up once a model, then added up here, exactly.

The package's own arithmetic takes 0.4 ms a call, and its data 11 MB and half a second: it is imported when the first price is asked for.
Nothing is fetched: the data is that of the installed version.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from types import MappingProxyType
from typing import Any

from providers.calls import Spent

SOURCE = "genai-prices"
STANDARD = frozenset({"", "auto", "default", "standard", "on_demand"})
"""Service tiers that cost what the list says without a tier."""
BASES: Mapping[str, str] = MappingProxyType(
    {
        "openai": "https://api.openai.com/v1",
        "anthropic": "https://api.anthropic.com",
        "bedrock": "https://bedrock-runtime.us-east-1.amazonaws.com",
    }
)
"""Providers of ours whose addresses are known without a setting."""
_UNSURE = frozenset({"azure"})
"""Their models are called by names that their owner has chosen, so that a name says nothing of a price."""
_MILLION = 1_000_000
_THOUSAND = 1_000
_MOST_KEPT = 1_000


@dataclass(frozen=True, slots=True)
class Rate:
    """Dollars per million tokens; from so many tokens of the whole prompt on, another price for all of them."""

    base: Decimal
    tiers: tuple[tuple[int, Decimal], ...] = ()

    def of(self, prompt: int) -> Decimal:
        return next((price for start, price in reversed(self.tiers) if prompt > start), self.base)


@dataclass(frozen=True, slots=True)
class Rates:
    """What one model costs. None: the list has no price for such tokens; then cached ones cost what other input costs."""

    input: Rate | None
    output: Rate | None
    cached: Rate | None = None
    written: Rate | None = None
    written_1h: Rate | None = None
    reasoning: Rate | None = None
    each: Decimal = Decimal(0)
    """Dollars per thousand calls."""

    def dollars(self, spent: Spent) -> Decimal | None:
        """Exact; None where tokens were used that have no price."""
        prompt, answer = spent.input_tokens, spent.output_tokens
        if (prompt and self.input is None) or (answer and self.output is None):
            return None
        read = min(spent.cached_tokens, prompt) if self.cached else 0
        written = min(spent.cache_write_tokens, prompt - read) if self.written else 0
        hour = min(spent.cache_write_1h_tokens, written) if self.written_1h else 0
        thought = min(spent.reasoning_tokens, answer) if self.reasoning else 0
        parts = (
            (self.input, prompt - read - written),
            (self.cached, read),
            (self.written, written - hour),
            (self.written_1h, hour),
            (self.output, answer - thought),
            (self.reasoning, thought),
        )
        tokens = sum((rate.of(prompt) * count for rate, count in parts if rate is not None and count), Decimal(0))
        return tokens / _MILLION + self.each / _THOUSAND


@dataclass(frozen=True, slots=True)
class _Found:
    """A model of the list. `own`: it stands under its provider itself, not under another one's whose models it serves."""

    model: Any
    own: bool


class Listed:
    """The list, for providers by their names here. `bases`: the address of each; one that is nobody's in the list has no prices."""

    def __init__(self, bases: Mapping[str, str] = BASES) -> None:
        self.bases = bases
        self._data: list[Any] | None = None
        self._version = ""
        self._found: dict[tuple[str, str], _Found | None] = {}
        self._rates: dict[int, tuple[Any, Rates]] = {}

    def load(self) -> None:
        """Import the list, if any provider here may be in it; it takes half a second, once."""
        if self._data is None and self.bases:
            self._data, self._version = _loaded()

    @property
    def version(self) -> str:
        """Of the package, and the day of its newest dated price."""
        self.load()
        return self._version

    def rates(self, provider: str, model: str, tier: str = "", at: datetime | None = None) -> Rates | None:
        """What the list says of a moment; None: nothing of this model, or nothing of this tier."""
        if provider not in self.bases:
            return None
        key = provider, model
        if key not in self._found:
            if len(self._found) >= _MOST_KEPT:
                self._found.clear()
            self._found[key] = self._find(provider, model)
        found = self._found[key]
        moment = at or datetime.now(UTC)
        if found is None:
            return None
        if tier in STANDARD:
            return self._read(found.model.get_prices(moment))
        context = next((each for each in _contexts(tier) if found.own and _is_listed(found.model, each, moment)), None)
        return None if context is None else _read(found.model.get_prices(moment, context))

    def _find(self, provider: str, model: str) -> _Found | None:
        self.load()
        data = self._data or []
        base = self.bases[provider]
        whose = next((each for each in data if re.match(each.api_pattern, base)), None)
        if whose is None or whose.id in _UNSURE:
            return None
        known = whose.find_model(model, all_providers=data)
        return None if known is None else _Found(known, any(known is each for each in whose.models))

    def _read(self, price: Any) -> Rates:
        """The same object of the list is read once."""
        if id(price) not in self._rates:
            if len(self._rates) >= _MOST_KEPT:
                self._rates.clear()
            self._rates[id(price)] = price, _read(price)
        return self._rates[id(price)][1]


@cache
def _loaded() -> tuple[list[Any], str]:
    """The list and its version; once a process."""
    import genai_prices
    from genai_prices.data import providers

    return providers, f"{genai_prices.__version__}/{_newest(providers)}"


def _contexts(tier: str) -> tuple[Mapping[str, str], ...]:
    """How the list may call a tier."""
    return ({"processing": tier}, {"service_tier": tier}, {"speed": tier})


def _is_listed(model: Any, context: Mapping[str, str], at: datetime) -> bool:
    """Whether the list has prices for this; else it would give the standard ones without a word."""
    return any(
        each.when == context and (each.constraint is None or each.constraint.active(at))
        for each in model.price_variants or ()
    )


def _read(price: Any) -> Rates:
    known = {name: _rate(value) for name, value in price.__dict__.items() if value is not None and name in _NAMES}
    each = price.__dict__.get("requests_kcount") or Decimal(0)
    named: dict[str, Rate | None] = {"input": None, "output": None}
    return Rates(**named | {_NAMES[name]: rate for name, rate in known.items()}, each=each)


_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "input_mtok": "input",
        "output_mtok": "output",
        "cache_read_mtok": "cached",
        "cache_write_mtok": "written",
        "cache_write_1h_mtok": "written_1h",
        "output_reasoning_mtok": "reasoning",
    }
)


def _rate(value: Any) -> Rate:
    if isinstance(value, Decimal):
        return Rate(value)
    return Rate(value.base, tuple((tier.start, tier.price) for tier in value.tiers))


def _newest(providers: list[Any]) -> str:
    """The day of the newest price that is dated: the list itself has no date."""
    dated = (
        each.constraint.start_date
        for provider in providers
        for model in provider.models
        for each in (*(model.prices if isinstance(model.prices, list) else ()), *(model.price_variants or ()))
        if hasattr(each.constraint, "start_date")
    )
    return str(max(dated, default=""))
