"""UTC days as people name them: two of them, both included."""

import re
from datetime import UTC, date, datetime, timedelta

USUAL = 30
_FIRST, _LAST = date(1970, 1, 1), date(9998, 12, 31)
_WRITTEN = re.compile(r"\d{4}-\d{2}-\d{2}")


def span(first: str | None, last: str | None) -> tuple[date, date]:
    """By default the last thirty. Raises ValueError with a sentence."""
    end = day("to", last) if last else datetime.now(UTC).date()
    start = day("from", first) if first else max(_FIRST, end - timedelta(days=USUAL - 1))
    if start > end:
        raise ValueError(f"from={start} is after to={end}; exchange them.")
    return start, end


def day(name: str, text: str) -> date:
    """A day of the calendar. Raises ValueError with a sentence that names the parameter."""
    try:
        found = date.fromisoformat(text) if _WRITTEN.fullmatch(text) else None
    except ValueError:
        found = None
    if found is None:
        raise ValueError(f"{name}={text[:100]!r} is no day; write YYYY-MM-DD.")
    if not _FIRST <= found <= _LAST:
        raise ValueError(f"{name}={found} cannot be asked for; days from {_FIRST} to {_LAST} can.")
    return found


def moments(first: str | None, last: str | None) -> tuple[float | None, float | None]:
    """From (included) and to (not included), in seconds since 1970; a day stands for all of it. Raises ValueError."""
    start = None if first is None else moment("from", first, ends=False)
    end = None if last is None else moment("to", last, ends=True)
    if start is not None and end is not None and start >= end:
        raise ValueError(f"from={first} is not before to={last}; exchange them.")
    return start, end


def moment(name: str, text: str, *, ends: bool = False) -> float:
    """Seconds since 1970 of a day, at its beginning or its end, or of a moment. Raises ValueError with a sentence."""
    if _WRITTEN.fullmatch(text):
        found = day(name, text) + timedelta(days=1 if ends else 0)
        return datetime(found.year, found.month, found.day, tzinfo=UTC).timestamp()
    try:
        told = datetime.fromisoformat(text)
    except ValueError:
        told = None
    if told is None or told.tzinfo is None or told.year not in range(_FIRST.year, _LAST.year):
        raise ValueError(
            f"{name}={text[:100]!r} is no moment; write a day as YYYY-MM-DD or a moment with its zone, such as 2026-11-21T10:00:00Z."
        )
    return told.timestamp()
