"""What the versions of a prompt did: calls, failures, cost and latency, out of the history of calls."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Integer, Row, case, func, select

from store.tables import executions

_E = executions.c


@dataclass(frozen=True, slots=True)
class Did:
    """Of one version since a moment. `nano`: None where nothing priced any of its calls."""

    version: int
    calls: int
    failures: int
    wasted: int
    input_tokens: int
    output_tokens: int
    nano: int | None
    unpriced: int
    mean_ms: float
    p50_ms: int
    p95_ms: int
    last_at: float


def by_version(conn: Connection, slug: str, tenant: str | None, since: float) -> list[Did]:
    """Newest version first. `tenant` None: of all."""
    where = [_E.prompt == slug, _E.closed_at.is_not(None), _E.opened_at >= since]
    if tenant is not None:
        where.append(_E.tenant == tenant)
    asked = (
        select(
            _E.prompt_version,
            func.count(),
            func.sum(case((_E.outcome == "error", 1), else_=0)).cast(Integer),
            func.sum(case((_E.outcome == "wasted", 1), else_=0)).cast(Integer),
            func.sum(_E.input_tokens),
            func.sum(_E.output_tokens),
            func.sum(_E.cost_nano),
            func.sum(case((_E.cost_nano.is_(None) & (_E.outcome != "error"), 1), else_=0)).cast(Integer),
            func.avg(_E.latency_ms),
            func.max(_E.opened_at),
        )
        .where(*where)
        .group_by(_E.prompt_version)
        .order_by(_E.prompt_version.desc())
    )
    return [_did(conn, row, where) for row in conn.execute(asked).all()]


def _did(conn: Connection, row: Row[Any], where: list[Any]) -> Did:
    version, calls, failures, wasted, input_, output, nano, unpriced, mean, last = tuple(row)
    of_it = (
        select(_E.latency_ms).where(*where, _E.prompt_version == version, _E.outcome == "ok").order_by(_E.latency_ms)
    )
    good = calls - failures - wasted
    p50, p95 = (_at(conn, of_it, good, share) for share in (0.5, 0.95))
    return Did(
        version,
        calls,
        failures,
        wasted,
        int(input_),
        int(output),
        None if nano is None else int(nano),
        unpriced,
        float(mean),
        p50,
        p95,
        last,
    )


def _at(conn: Connection, ordered: Any, count: int, share: float) -> int:
    """The value below which that share lies; 0 of none."""
    if count == 0:
        return 0
    return int(conn.execute(ordered.offset(min(count - 1, int(count * share))).limit(1)).scalar() or 0)
