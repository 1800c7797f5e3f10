"""`${date}` and its like: what a scheduled run says of its planned time. Pure."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from schemas.schedules import NewSchedule

_NAMED = re.compile(r"\$\{(date|yesterday|planned)\}")


def key(name: str, planned: float) -> str:
    """The idempotency key of a firing: whoever fires it, and however often, it is one run."""
    return f"schedule/{name}/{moment(planned)}"


def moment(at: float) -> str:
    """RFC 3339 in UTC; a fraction of a second only where there is one."""
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def filled(name: str, said: NewSchedule, planned: float, zone: tzinfo) -> dict[str, Any]:
    """The body of the run that was planned for then."""
    day = datetime.fromtimestamp(planned, zone).date()
    words = {"date": str(day), "yesterday": str(day - timedelta(days=1)), "planned": moment(planned)}
    run = said.run.model_dump(mode="json", exclude_unset=True)
    for field in ("params", "metadata", "idempotency_key"):
        if run.get(field) is not None:
            run[field] = _filled(run[field], words)
    run.setdefault("idempotency_key", key(name, planned))
    return run


def _filled(value: Any, words: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return _NAMED.sub(lambda found: words[found[1]], value)
    if isinstance(value, dict):
        return {name: _filled(each, words) for name, each in value.items()}
    return [_filled(each, words) for each in value] if isinstance(value, list) else value
