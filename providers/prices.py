"""What a call costs, to whole nano-dollars: by the own table first, then by the list of genai-prices.

An unknown price is None, which is counted and shown, never a silent 0. Free are only `local` and `ollama`, and that is said
as the price's source: `default`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from providers import tokens
from providers.calls import AnyCall, EmbedCall, ModerateCall, Spent
from providers.listed import SOURCE, STANDARD, Listed
from schemas.money import to_nano
from schemas.usage import Price

_MILLION = 1_000_000

_MARGIN = 1.5
"""By how much the guess of `providers.tokens` is raised where the cost of a lost call is to be an upper one."""

_PER_MESSAGE = 8


@dataclass(frozen=True, slots=True)
class Entry:
    """Dollars per million tokens and per GPU-second. `cached` None: tokens out of a provider's cache cost what other input costs;
    so do those written into it, `cache_write`.
    """

    input: Decimal = Decimal(0)
    output: Decimal = Decimal(0)
    cached: Decimal | None = None
    cache_write: Decimal | None = None
    gpu_second: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Priced:
    """`nano` None: nobody knows what it cost; then `price` is None too."""

    nano: int | None
    price: Price | None


_FREE = Entry()

DEFAULTS: Mapping[str, Entry] = MappingProxyType(
    {
        "local/*": _FREE,
        "ollama/*": _FREE,
        "openai/omni-moderation-latest": _FREE,
        "openai/omni-moderation-2024-09-26": _FREE,
        "fake/*": Entry(input=Decimal("0.15"), output=Decimal("0.60"), cached=Decimal("0.075")),
    }
)
DEFAULTS_VERSION = "1"


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Looked up as `provider/model`, then `provider/*`, then in `DEFAULTS`, then in the list. A line of another service tier than
    the standard one is named `provider/model@tier`: where an own line prices a model, a tier without a line has no price.
    """

    entries: Mapping[str, Entry]
    version: str
    source: str = "settings"
    listed: Listed = field(default_factory=Listed, compare=False)

    def of(self, provider: str, model: str, spent: Spent, at: datetime | None = None) -> Priced:
        """The cost of one call at a moment (now); None where nothing prices it, or a line by GPU-seconds prices a call that tells none."""
        if self._own(provider, model) is not None:
            found = self._line(provider, model, spent.tier)
            return Priced(None, None) if found is None else _priced(found[0], spent, found[1])
        rates = self.listed.rates(provider, model, spent.tier, at)
        dollars = None if rates is None else rates.dollars(spent)
        if dollars is None:
            return Priced(None, None)
        return Priced(to_nano(dollars), Price(source=SOURCE, version=self.listed.version))

    def is_free(self, provider: str, model: str) -> bool:
        """Whether it surely costs nothing, whatever is asked."""
        own = self._own(provider, model)
        return own is not None and own[0] == _FREE

    def line(self, provider: str, model: str) -> tuple[Entry, Price] | None:
        """The line that prices this model, and where it stands; of one that is listed its prices now, of short prompts."""
        own = self._own(provider, model)
        if own is not None:
            return own
        rates = self.listed.rates(provider, model)
        if rates is None or rates.input is None:
            return None
        output = Decimal(0) if rates.output is None else rates.output.base
        cached, written = (None if rate is None else rate.base for rate in (rates.cached, rates.written))
        entry = Entry(rates.input.base, output, cached, written)
        return entry, Price(source=SOURCE, version=self.listed.version)

    def _own(self, provider: str, model: str, tier: str = "") -> tuple[Entry, Price] | None:
        for name in (f"{provider}/{model}{tier}", f"{provider}/*{tier}"):
            if name in self.entries:
                return self.entries[name], Price(source=self.source, version=self.version)
        default = DEFAULTS.get(f"{provider}/{model}") or DEFAULTS.get(f"{provider}/*")
        return None if default is None else (default, Price(source="default", version=DEFAULTS_VERSION))

    def _line(self, provider: str, model: str, tier: str) -> tuple[Entry, Price] | None:
        """Of a model that has an own line: of its tier, unless the standard one is free or a default."""
        own = self._own(provider, model)
        if own is None or tier in STANDARD or own[0] == _FREE or own[1].source != self.source:
            return own
        of_tier = self._own(provider, model, f"@{tier}")
        return None if of_tier is None or of_tier[1].source != self.source else of_tier


def table(entries: Mapping[str, Mapping[str, Any]], version: str, listed: Listed | None = None) -> PriceTable:
    """From the shape of the settings: name -> `input_per_million`, `output_per_million`, `cached_per_million`,
    `cache_write_per_million`, `per_gpu_second`.

    Raises ValueError for a name without a slash and for what is no non-negative decimal number.
    """
    own = {name: _entry(name, line) for name, line in entries.items()}
    return PriceTable(own, version, listed=listed or Listed())


def _entry(name: str, line: Mapping[str, Any]) -> Entry:
    if "/" not in name:
        raise ValueError(f"price `{name}`: write `provider/model` or `provider/*`")
    cached, written = line.get("cached_per_million"), line.get("cache_write_per_million")
    return Entry(
        input=_amount(name, line.get("input_per_million", "0")),
        output=_amount(name, line.get("output_per_million", "0")),
        cached=None if cached is None else _amount(name, cached),
        cache_write=None if written is None else _amount(name, written),
        gpu_second=_amount(name, line.get("per_gpu_second", "0")),
    )


def _amount(name: str, text: Any) -> Decimal:
    try:
        amount = Decimal(str(text))
    except ArithmeticError:
        raise ValueError(f"price `{name}`: {text!r} is not a decimal number") from None
    if not amount.is_finite() or amount < 0:
        raise ValueError(f"price `{name}`: {text!r} is not a price")
    return amount


def _priced(entry: Entry, spent: Spent, price: Price) -> Priced:
    dollars = _dollars(entry, spent)
    return Priced(None, None) if dollars is None else Priced(to_nano(dollars), price)


def _dollars(entry: Entry, spent: Spent) -> Decimal | None:
    """Exact; rounded once, by the caller. Tokens read from a cache and written into it are a part of the input tokens."""
    if entry.gpu_second and spent.gpu_seconds is None:
        return None
    cached = min(spent.cached_tokens, spent.input_tokens)
    written = min(spent.cache_write_tokens, spent.input_tokens - cached)
    cached_price = entry.input if entry.cached is None else entry.cached
    written_price = entry.input if entry.cache_write is None else entry.cache_write
    plain = entry.input * (spent.input_tokens - cached - written)
    by_tokens = plain + cached_price * cached + written_price * written + entry.output * spent.output_tokens
    return by_tokens / _MILLION + entry.gpu_second * Decimal(str(spent.gpu_seconds or 0))


OUTPUT_LIMIT = 4096
"""Tokens of an answer of which nobody said how long it may be."""


def upper_estimate(call: AnyCall, output_limit: int = OUTPUT_LIMIT) -> Spent:
    """What a call that nobody heard of again can have used at most, about: `estimated` is true.

    Output: `max_tokens`, or `output_limit` where the call set none. GPU-seconds: its whole time-out.
    """
    if isinstance(call, EmbedCall | ModerateCall):
        texts: list[str] = list(call.texts)
        output, tier = 0, ""
    else:
        texts = [message.content for message in call.messages]
        tier = str(call.params.get("service_tier") or "")
        output = output_limit if call.max_tokens is None else call.max_tokens
    prompt = sum(int(tokens.estimate(text) * _MARGIN) + _PER_MESSAGE for text in texts)
    return Spent(prompt, output, tier=tier, estimated=True, gpu_seconds=call.timeout_s)
