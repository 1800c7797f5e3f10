"""`costs reprice`: what calls would cost by the prices of now, and the differences booked."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from providers.calls import Spent
from providers.prices import PriceTable
from schemas.money import to_usd
from schemas.usage import Price
from store.database import Database
from store.ledger import corrections
from store.ledger.corrections import Anew, Span
from store.ledger.types.records import Routes

AT_ONCE = 500
Key = tuple[str, str, str]
"""UTC day, provider, model."""


@dataclass(slots=True)
class Line:
    """One day of one model. `changed`: calls whose price is another one now; `unknown`: those that nothing prices now, which are
    left as they are booked.
    """

    calls: int = 0
    changed: int = 0
    unknown: int = 0
    booked_nano: int = 0
    anew_nano: int = 0

    def told(self) -> dict[str, Any]:
        return {
            "calls": self.calls,
            "changed": self.changed,
            "unknown": self.unknown,
            "booked_usd": to_usd(self.booked_nano),
            "anew_usd": to_usd(self.anew_nano),
            "difference_usd": to_usd(self.anew_nano - self.booked_nano),
        }


@dataclass(slots=True)
class Report:
    """What was found. `corrected`: how many corrections were booked."""

    lines: defaultdict[Key, Line] = field(default_factory=lambda: defaultdict(Line))
    prices: set[tuple[str, str]] = field(default_factory=set)
    corrected: int = 0

    def told(self, span: Span, *, applied: bool) -> dict[str, Any]:
        """As `--json` prints it."""
        whole = Line()
        for line in self.lines.values():
            for name in ("calls", "changed", "unknown", "booked_nano", "anew_nano"):
                setattr(whole, name, getattr(whole, name) + getattr(line, name))
        items = [
            {"day": day, "provider": provider, "model": model} | line.told()
            for (day, provider, model), line in sorted(self.lines.items())
        ]
        return {
            "from": str(span.first),
            "to": str(span.last),
            "applied": applied,
            "corrected": self.corrected,
            "prices": [{"source": source, "version": version} for source, version in sorted(self.prices)],
            "items": items,
            "totals": whole.told(),
        }


async def reprice(database: Database, routes: Routes, prices: PriceTable, span: Span, *, apply: bool) -> Report:
    """Every call of the span by the prices of its own day, as they are known now. `apply`: book the differences."""
    report, after = Report(), (0.0, "")
    while True:
        place = after
        found = await database.read(lambda conn: corrections.calls(conn, span, place, AT_ONCE))  # noqa: B023 - awaited here
        if not found:
            return report
        changed = [anew for row in found if (anew := _one(report, prices, row)) is not None]
        if apply:
            report.corrected += await database.write(lambda conn: corrections.apply(conn, routes, changed))  # noqa: B023
        after = found[-1].closed_at, found[-1].id


def _one(report: Report, prices: PriceTable, row: Any) -> Anew | None:
    """Into the report; None: it costs what is booked, or nothing prices it."""
    day = datetime.fromtimestamp(row.closed_at, UTC).date().isoformat()
    line = report.lines[day, row.provider, row.model]
    was = corrections.booked(row)
    line.calls += 1
    line.booked_nano += was or 0
    nano, price = _anew(prices, row)
    if nano is None or price is None:
        line.unknown += 1
        line.anew_nano += was or 0
        return None
    report.prices.add((price.source, price.version))
    line.anew_nano += nano
    if nano == was:
        return None
    line.changed += 1
    return Anew(row, nano, price, was)


def _anew(prices: PriceTable, row: Any) -> tuple[int | None, Price | None]:
    spent = Spent(
        row.input_tokens,
        row.output_tokens,
        row.cached_tokens,
        row.cache_write_tokens,
        row.reasoning_tokens,
        row.tier or "",
        gpu_seconds=row.gpu_seconds,
        cache_write_1h_tokens=row.cache_write_1h_tokens,
    )
    found = prices.of(row.provider, row.model, spent, datetime.fromtimestamp(row.opened_at, UTC))
    return found.nano, found.price
