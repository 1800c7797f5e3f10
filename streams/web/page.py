"""`/`: what waits, runs and was answered, the last answers, the day's costs; rendered here, refreshed by a small script."""

import asyncio
import math
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, cast

import orjson
from sqlalchemy import Connection, Row
from starlette.requests import Request
from starlette.responses import Response

from schemas.money import to_usd
from schemas.request import LANE_NAMES
from store.ledger import books, pages, queries
from store.ledger.backlog import Backlog
from streams import queueing, redact, showing
from streams.redact import Redactor
from streams.showing import plain
from streams.spine import Spine
from streams.web.front import Front
from streams.web.looking import backlog_of, read
from streams.web.problems import Problem
from streams.web.queries import told
from streams.web.rendering import html
from streams.web.showing import moment, status_url

ANSWERS = 10
POOLS = 50
"""Those in use, then those that were used last."""
_MOST_BYTES = 65_536
"""A larger result is not read to show one line of it."""
_WIDTH = 300
_FRESH_S = 1.0
_PARTS = ("main",)
_QUEUED = frozenset({"waiting", "leased"})
"""A leased one waits too: for a slot, at a worker."""


@dataclass(frozen=True)
class Facts:
    """What the ledger said at one moment."""

    at: float
    standing: dict[tuple[str, int], tuple[int, float]]
    ended: dict[str, int]
    latest: list[Row[Any]]
    slots: list[Row[Any]]
    costs: list[Row[Any]]
    lanes: dict[str, dict[str, Any]]
    """As `/v1/queue` has them, without Kafka."""


def look(conn: Connection, at: float) -> Facts:
    """Beside the backlog. Small indexes only; nothing here grows with the number of requests that have ended."""
    today = datetime.fromtimestamp(at, UTC).date()
    midnight = datetime(today.year, today.month, today.day, tzinfo=UTC).timestamp()
    return Facts(
        at,
        pages.running(conn),
        pages.ended(conn, midnight),
        pages.latest(conn, ANSWERS, _MOST_BYTES),
        queries.running(conn),
        books.costs_by(conn, ("provider", "model"), today, today, 100),
        {},
    )


def _standing(found: Backlog) -> dict[tuple[str, int], tuple[int, float]]:
    """(state, lane) -> (requests without a call that runs, when the oldest of them was accepted)."""
    counts: dict[tuple[str, int], tuple[int, float]] = {}
    for each in (each for each in found.standing if each.state != "calling"):
        count, oldest = counts.get((each.state, each.lane), (0, math.inf))
        counts[each.state, each.lane] = count + each.count, min(oldest, each.oldest)
    return counts


class Page:
    """Many people may look: the ledger is asked once a second at most."""

    def __init__(self, front: Front, version: str) -> None:
        self._front, self._version = front, version
        self._known: Facts | None = None

    async def page(self, request: Request) -> Response:
        """The start page, for people."""
        part = told(request, ("part",)).get("part")
        if part is not None and part not in _PARTS:
            raise Problem(422, f"part={part[:100]!r} is not known; there is {', '.join(_PARTS)}.")
        facts, notice = await self._facts()
        values = {
            "view": None if facts is None else view(facts, redact.of(self._front.settings.redact)),
            "notice": notice,
            "address": str(request.base_url).rstrip("/"),
            "process": self._front.name,
            "version": self._version,
        }
        return html(request, f"{part or 'page'}.html", 200 if facts is not None else 503, **values)

    async def _facts(self) -> tuple[Facts | None, str]:
        """And a sentence where something is wrong."""
        try:
            spine = self._front.parts()
            if self._known is None or not 0 <= time.time() - self._known.at < _FRESH_S:
                self._known = await self._looked(spine)
        except Problem as problem:
            return None, problem.detail
        provider = self._front.provider
        return self._known, "" if provider.ok or provider.why == "not asked yet" else f"{provider.why}."

    async def _looked(self, spine: Spine) -> Facts:
        """The two looks beside each other, and what is worked out of them in no event loop's time."""
        looking = asyncio.gather(read(spine, partial(look, at=time.time())), backlog_of(self._front))
        facts, found = cast("tuple[Facts, Backlog]", await looking)
        lanes = await asyncio.to_thread(queueing.lanes, found)
        return replace(facts, standing=_standing(found) | facts.standing, lanes=lanes)


def view(facts: Facts, masks: Redactor) -> dict[str, Any]:
    """Facts as the template shows them: words and figures, nothing left to decide."""
    waiting = sum(count for (state, _), (count, _) in facts.standing.items() if state in _QUEUED)
    running = sum(count for (state, _), (count, _) in facts.standing.items() if state == "calling")
    failed = facts.ended.get("failed", 0)
    others = {name: facts.ended[name] for name in ("cancelled", "expired") if facts.ended.get(name)}
    nano = sum(int(row.cost_nano) for row in facts.costs)
    calls = sum(int(row.calls) for row in facts.costs)
    more = ", ".join(f"{_figure(count)} {name}" for name, count in others.items())
    return {
        "at": moment(facts.at),
        "day": (moment(facts.at) or "")[:10],
        "tiles": [
            _tile("waiting", _figure(waiting), _oldest(facts, None), "busy" if waiting else ""),
            _tile("running", _figure(running), _slots(facts), "busy" if running else ""),
            _tile("answered today", _figure(facts.ended.get("succeeded", 0)), more, "good"),
            _tile("failed today", _figure(failed), "", "bad" if failed else ""),
            _tile("dollars today", to_usd(nano) or "", f"{_figure(calls)} calls", "money"),
        ],
        "lanes": [_lane(facts, lane, name) for lane, name in enumerate(LANE_NAMES)],
        "slots": [
            _model(row, masks) | {"used": int(row.used), "total": int(row.total)}
            for row in sorted(facts.slots[:POOLS], key=lambda row: (row.provider, row.model))
        ],
        "more_pools": _figure(max(0, len(facts.slots) - POOLS)),
        "costs": [_cost(row, masks) for row in facts.costs],
        "answers": [_answer(row, masks) for row in facts.latest],
    }


def _tile(label: str, figure: str, more: str, kind: str) -> dict[str, str]:
    return {"label": label, "figure": figure, "more": more, "kind": kind}


def _lane(facts: Facts, lane: int, name: str) -> dict[str, str]:
    counts = {state: facts.standing.get((state, lane), (0, 0.0))[0] for state in pages.STATES[:4]}
    return {
        "name": name,
        "waiting": _figure(counts["waiting"] + counts["leased"]),
        "oldest": _oldest(facts, lane),
        "running": _figure(counts["calling"]),
        "held": _figure(counts["held"]),
        "rate": _rate(facts.lanes[name]["rate_per_s"]),
        "until": "" if facts.lanes[name]["done_s"] is None else _span(facts.lanes[name]["done_s"]),
    }


def _oldest(facts: Facts, only: int | None) -> str:
    """How long the oldest has waited."""
    since = [at for (state, lane), (_, at) in facts.standing.items() if state in _QUEUED and only in {None, lane}]
    if not since:
        return ""
    words = _span(max(0.0, facts.at - min(since)))
    return words if only is not None else f"the oldest for {words}"


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def _rate(per_s: float | None) -> str:
    """Answers a minute: a slow lane has some too."""
    return "" if per_s is None else f"{60 * per_s:.3g}/min"


def _slots(facts: Facts) -> str:
    total = sum(int(row.total) for row in facts.slots)
    return f"{sum(int(row.used) for row in facts.slots)} of {total} slots" if total else ""


def _model(row: Row[Any], masks: Redactor) -> dict[str, Any]:
    """A request may name any model."""
    return {"provider": plain(masks.text(row.provider)), "model": plain(masks.text(row.model))}


def _cost(row: Row[Any], masks: Redactor) -> dict[str, str]:
    return _model(row, masks) | {
        "calls": _figure(int(row.calls)),
        "input": _figure(int(row.input_tokens)),
        "output": _figure(int(row.output_tokens)),
        "usd": to_usd(int(row.cost_nano)) or "",
        "unpriced": _figure(int(row.unpriced_calls)) if row.unpriced_calls else "",
    }


def _answer(row: Row[Any], masks: Redactor) -> dict[str, str]:
    """An id that is masked leads nowhere: its address would name it."""
    id_ = masks.text(row.id)
    said = (
        f"An answer of {_figure(row.size)} bytes."
        if row.body is None
        else showing.answer(masks.value(orjson.loads(row.body)), _WIDTH)
    )
    return {
        "status": row.status,
        "operation": row.operation,
        "id": plain(id_),
        "url": status_url(row.tenant, row.operation, row.id) if id_ == row.id else "",
        "at": moment(row.completed_at) or "",
        "text": plain(said),
    }


def _figure(count: int) -> str:
    """Thousands apart by a narrow space; where counting stopped, so many at least."""
    words = f"{count:,}".replace(",", "\u202f")
    return f"{words}+" if count >= pages.MOST else words
