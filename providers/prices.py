"""What a call costs, from a table: pure functions to whole nano-dollars.

An unknown price is None, which is counted and shown, never a silent 0. Free are only `local` and `ollama`, and that is said
as the price's source: `default`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from providers import tokens
from providers.base import ChatCall, EmbedCall, Spent
from schemas.money import to_nano
from schemas.usage import Price

_MILLION = 1_000_000

_MARGIN = 1.5
"""By how much the guess of `providers.tokens` is raised where the cost of a lost call is to be an upper one."""

_PER_MESSAGE = 8


@dataclass(frozen=True, slots=True)
class Entry:
    """Dollars per million tokens and per GPU-second. `cached` None: cached tokens cost what other input costs."""

    input: Decimal = Decimal(0)
    output: Decimal = Decimal(0)
    cached: Decimal | None = None
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
        "fake/*": Entry(input=Decimal("0.15"), output=Decimal("0.60"), cached=Decimal("0.075")),
    }
)
DEFAULTS_VERSION = "1"


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Looked up as `provider/model`, then `provider/*`, then in `DEFAULTS`."""

    entries: Mapping[str, Entry]
    version: str
    source: str = "settings"

    def of(self, provider: str, model: str, spent: Spent) -> Priced:
        """The cost of one call; None where no line prices it, or a line by GPU-seconds prices a call that tells none."""
        found = self.line(provider, model)
        return Priced(None, None) if found is None else _priced(found[0], spent, found[1])

    def line(self, provider: str, model: str) -> tuple[Entry, Price] | None:
        """The line that prices this model, and where it stands."""
        for name in (f"{provider}/{model}", f"{provider}/*"):
            if name in self.entries:
                return self.entries[name], Price(source=self.source, version=self.version)
        default = DEFAULTS.get(f"{provider}/*")
        return None if default is None else (default, Price(source="default", version=DEFAULTS_VERSION))


def table(entries: Mapping[str, Mapping[str, Any]], version: str) -> PriceTable:
    """From the shape of the settings: name -> `input_per_million`, `output_per_million`, `cached_per_million`, `per_gpu_second`.

    Raises ValueError for a name without a slash and for what is no non-negative decimal number.
    """
    return PriceTable({name: _entry(name, line) for name, line in entries.items()}, version)


def _entry(name: str, line: Mapping[str, Any]) -> Entry:
    if "/" not in name:
        raise ValueError(f"price `{name}`: write `provider/model` or `provider/*`")
    cached = line.get("cached_per_million")
    return Entry(
        input=_amount(name, line.get("input_per_million", "0")),
        output=_amount(name, line.get("output_per_million", "0")),
        cached=None if cached is None else _amount(name, cached),
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
    """Exact; rounded once, by the caller. Cached tokens are a part of the input tokens."""
    if entry.gpu_second and spent.gpu_seconds is None:
        return None
    cached = min(spent.cached_tokens, spent.input_tokens)
    cached_price = entry.input if entry.cached is None else entry.cached
    by_tokens = entry.input * (spent.input_tokens - cached) + cached_price * cached + entry.output * spent.output_tokens
    return by_tokens / _MILLION + entry.gpu_second * Decimal(str(spent.gpu_seconds or 0))


OUTPUT_LIMIT = 4096
"""Tokens of an answer of which nobody said how long it may be."""


def upper_estimate(call: ChatCall | EmbedCall, output_limit: int = OUTPUT_LIMIT) -> Spent:
    """What a call that nobody heard of again can have used at most, about: `estimated` is true.

    Output: `max_tokens`, or `output_limit` where the call set none. GPU-seconds: its whole time-out.
    """
    if isinstance(call, EmbedCall):
        texts: list[str] = list(call.texts)
        output = 0
    else:
        texts = [message.content for message in call.messages]
        output = output_limit if call.max_tokens is None else call.max_tokens
    prompt = sum(int(tokens.estimate(text) * _MARGIN) + _PER_MESSAGE for text in texts)
    return Spent(prompt, output, estimated=True, gpu_seconds=call.timeout_s)
