"""The books by group, as HTTP and the command line show them: exact decimal strings, whole numbers, totals below."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import Row

from schemas.money import to_usd
from store.ledger.books import GROUPS

MOST = 10_000
"""Groups of one answer."""
_SUMS = ("calls", "input_tokens", "output_tokens", "cached_tokens", "unpriced_calls", "cost_nano")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def groups(told: str) -> tuple[str, ...]:
    """`day,model` to the groups that it names. Raises ValueError with a sentence."""
    found = tuple(word.strip() for word in told.split(","))
    for word in found:
        if word not in GROUPS:
            raise ValueError(
                f"by={word[:100]!r} is not known; choose some of {', '.join(GROUPS)}, separated by commas."
            )
    if len(set(found)) < len(found):
        raise ValueError(f"by={told[:100]!r} names a group twice; name each once.")
    return found


def grouped(
    by: Sequence[str], found: Sequence[Row[Any]], first: date, last: date, gone_before: float | None = None
) -> dict[str, Any]:
    """Rows of `store.ledger.books`. `gone_before`: the calls before then were pruned; said as `whole_from` where days of
    theirs were asked for. Raises ValueError when there are more groups than `MOST`.
    """
    if len(found) > MOST:
        raise ValueError(
            f"There are more than {MOST} groups by {', '.join(by)}; ask for fewer days, or for fewer groups."
        )
    items = [_named(by, priced(columns(row))) for row in found]
    span = {"by": ",".join(by), "from": str(first), "to": str(last)}
    whole_from = datetime.fromtimestamp(gone_before or 0, UTC).date()
    if whole_from > first and gone_before is not None:
        span["whole_from"] = str(whole_from)
    return span | {"items": items, "totals": totals(map(columns, found))}


def _named(by: Sequence[str], row: dict[str, Any]) -> dict[str, Any]:
    """By one thing alone its value is the item's `name` too."""
    return {"name": row[by[0]]} | row if len(by) == 1 else row


def daily(found: list[Row[Any]], first: date, last: date) -> dict[str, Any]:
    """Rows of `daily_costs`, one by one."""
    days = [priced(columns(row)) for row in found]
    return {"from": str(first), "to": str(last), "days": days, "totals": totals(map(columns, found))}


def saved(found: Sequence[Row[Any]], cheaper: Sequence[Row[Any]] = ()) -> dict[str, Any]:
    """Rows of `daily_savings`: what requests cost less since they had time to wait for a cheaper model, by route; and of
    `daily_tiers`: the same of cheaper tiers.
    """
    routes: dict[str, list[int]] = {}
    for row in found:
        sums = routes.setdefault(row.route, [0, 0])
        sums[0] += int(row.requests)
        sums[1] += int(row.saved_nano)
    items = [{"route": name, "requests": many, "saved_usd": to_usd(nano)} for name, (many, nano) in routes.items()]
    tiers: dict[tuple[str, str, str], list[int]] = {}
    for row in cheaper:
        sums = tiers.setdefault((row.tier, row.provider, row.model), [0, 0])
        sums[0] += int(row.requests)
        sums[1] += int(row.saved_nano)
    named = [
        {"tier": tier, "provider": provider, "model": model, "requests": many, "saved_usd": to_usd(nano)}
        for (tier, provider, model), (many, nano) in tiers.items()
    ]
    nanos = [nano for _, nano in (*routes.values(), *tiers.values())]
    return {"routes": items, "tiers": named, "saved_usd": to_usd(sum(nanos))}


def columns(row: Row[Any]) -> dict[str, Any]:
    return {str(name): value for name, value in row._mapping.items()}  # noqa: SLF001 - SQLAlchemy's public name for it


def priced(row: dict[str, Any]) -> dict[str, Any]:
    """Sums come as Decimal from PostgreSQL; money leaves as a string."""
    nano = int(row.pop("cost_nano"))
    plain = {name: value if isinstance(value, str | None) else int(value) for name, value in row.items()}
    return plain | {"cost_usd": to_usd(nano)}


def totals(found: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    rows = list(found)
    return priced({name: sum(int(row[name]) for row in rows) for name in _SUMS})


def as_csv(items: Sequence[Mapping[str, Any]], names: Sequence[str]) -> bytes:
    """RFC 4180, with a line of names. A text that a spreadsheet would take for a formula gets an apostrophe in front."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(names)
    writer.writerows([[_cell(each[name]) for name in names] for each in items])
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
