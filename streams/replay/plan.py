"""What a replay would do, counted before it is done."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection

from schemas.errors import ErrorType
from schemas.money import to_usd
from schemas.replay import Doing, Group, ReplayPlan
from store.ledger import chosen, recorded, replays
from store.ledger.chosen import Chosen, Recorded
from store.ledger.replays import Mode
from store.ledger.types.claims import Pool
from streams.replay import anew
from streams.replay.anew import Otherwise
from streams.replay.parts import Parts

_RUN = "replay:plan"


def runs_again(row: Any) -> bool:
    """Whether asking the same again can help: it did not succeed, and was a request."""
    return chosen.is_finished(row) and row.state != "succeeded" and row.error_type != ErrorType.INVALID_REQUEST


class _Sum:
    """Costs of one mode."""

    def __init__(self) -> None:
        self.requests, self.unpriced, self.about, self.most = 0, 0, 0, 0
        self.pools: set[Pool] = set()

    def add(self, cost: tuple[int | None, int | None]) -> None:
        about, most = cost
        self.requests += 1
        self.unpriced += most is None
        self.about += about or 0
        self.most += most or 0

    def told(self) -> Doing:
        return Doing(
            requests=self.requests, about_usd=to_usd(self.about), most_usd=to_usd(self.most), unpriced=self.unpriced
        )


def made(
    conn: Connection, parts: Parts, mode: Mode, wanted: Chosen, otherwise: Otherwise
) -> tuple[ReplayPlan, set[Pool]]:
    """Walks over everything that was chosen; reads records only where their cost is asked for. Also: whom it would ask."""
    groups: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    again, aside, ended, kept, loud = _Sum(), _Sum(), 0, 0, 0
    for rows in chosen.walk(conn, wanted):
        pks = [row.pk for row in rows]
        calls, there = chosen.recorded(conn, pks), recorded.kept(conn, pks)
        for row in rows:
            count = groups[row.operation, row.state]
            count[0] += 1
            count[1] += calls.get(row.pk, Recorded()).cost_nano
            is_kept = chosen.is_finished(row) and row.pk in there
            ended += chosen.is_finished(row)
            kept += is_kept
            loud += is_kept and not row.quiet
        if mode == "again":
            _add(conn, parts, [row for row in rows if runs_again(row)], calls, Otherwise(), again)
        elif mode == "anew":
            _add(conn, parts, [row for row in rows if chosen.is_finished(row)], calls, otherwise, aside)
    many = sum(count for count, _ in groups.values())
    told = ReplayPlan(
        mode=mode,
        chosen=many,
        groups=[
            Group(operation=operation, status=status, requests=count, recorded_usd=to_usd(nano) or "")
            for (operation, status), (count, nano) in sorted(groups.items())
        ],
        unfinished=many - ended,
        unkept=ended - kept,
        again=again.told() if mode == "again" else Doing(),
        recorded=Doing(requests=loud),
        anew=aside.told() if mode == "anew" else Doing(requests=kept),
    )
    return told, aside.pools


def _add(
    conn: Connection,
    parts: Parts,
    rows: Iterable[Any],
    calls: dict[int, Recorded],
    otherwise: Otherwise,
    into: _Sum,
) -> None:
    for original in replays.originals(conn, [row.pk for row in rows]):
        known = calls.get(original.row.pk, Recorded())
        found = anew.item(original, _RUN, otherwise, parts.decoder, parts.prices, known)
        if found.ask is None:
            continue
        refused = found.ask.failure is not None
        cost = (0, 0) if refused else anew.cost(parts.prices, found.ask, found.value, known)
        if not refused:
            into.pools.add((found.ask.provider, found.ask.model))
        into.add(cost)
