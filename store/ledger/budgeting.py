"""Which budgets concern a request, what is left of them, and when they begin anew. Pure: times are given."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from schemas.errors import ErrorType, Failure
from schemas.money import to_usd

Period = Literal["day", "month", "total", "run"]
"""`run`: a run's own, in total; it goes when the run has ended, and counts all of the run when it comes back."""
SHARES = (100, 80, 50)
"""Of the limit, in percent: reached by what is spent, each is told once in a period."""
_DAY_S = 86_400.0


class Scope(NamedTuple):
    """Whose costs a budget counts: all that is not empty must fit. `model`: `provider/model` or `provider/*`."""

    tenant: str = ""
    key_id: str = ""
    model: str = ""
    run_id: str = ""

    def words(self) -> str:
        """For a sentence."""
        named = zip(("tenant", "key", "model", "run"), self, strict=True)
        return ", ".join(f"{name} {value}" for name, value in named if value) or "everything"


def began(period: Period, at: float, made_at: float) -> float:
    """When the period began that `at` is in; UTC. One in total began when it was made."""
    if period == "day":
        return at // _DAY_S * _DAY_S
    if period == "month":
        return datetime.fromtimestamp(at, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()
    return made_at


def ends(period: Period, since: float) -> float | None:
    """When a budget begins anew; None: never."""
    if period == "day":
        return since + _DAY_S
    if period == "month":
        first = datetime.fromtimestamp(since, UTC)
        following = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
        return following.timestamp()
    return None


def moment(at: float) -> str:
    """RFC 3339, whole seconds."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Known:
    """Which budgets there are, as this process saw them last: enough to know which ones concern a request.

    What is left of them it does not know: that is decided in the ledger. `version`: of the table; a transaction that reads
    another one than this is begun again, with a fresh copy.
    """

    def __init__(self, version: int = 0, scopes: Iterable[tuple[int, Scope]] = ()) -> None:
        self.version = version
        self.stale = False
        """Another version was seen: read them before anything is decided."""
        self.wide = False
        """A row holds less than its worker believed: lock the budgets of every call that begins."""
        self._ids: defaultdict[Scope, list[int]] = defaultdict(list)
        for id_, scope in scopes:
            self._ids[scope].append(id_)
        self._shapes = sorted({(bool(s.tenant), bool(s.key_id), bool(s.model), bool(s.run_id)) for s in self._ids})

    def become(self, other: "Known") -> None:
        """What `other` is."""
        self.version, self._ids, self._shapes, self.stale = other.version, other._ids, other._shapes, False  # noqa: SLF001

    def concerning(
        self, tenant: str, key_id: str | None, provider: str, model: str, run_id: str | None
    ) -> tuple[int, ...]:
        """The budgets that count what such a request costs, in their order."""
        if not self._ids:
            return ()
        found: list[int] = []
        models = (f"{provider}/{model}", f"{provider}/*")
        for by_tenant, by_key, by_model, by_run in self._shapes:
            if (by_key and key_id is None) or (by_run and run_id is None):
                continue
            whose, key, run = tenant if by_tenant else "", (key_id or "") * by_key, (run_id or "") * by_run
            for name in models if by_model else ("",):
                found += self._ids.get(Scope(whose, key, name, run), ())
        return tuple(sorted(found))


def pack(ids: Sequence[int]) -> str | None:
    """As a row keeps them."""
    return ",".join(map(str, ids)) or None


def unpack(packed: str | None) -> tuple[int, ...]:
    return tuple(map(int, packed.split(","))) if packed else ()


@dataclass(slots=True)
class State:
    """One budget, as it stands."""

    id: int
    scope: Scope
    period: Period
    limit_nano: int
    hard: bool
    unpriced: bool
    since: float
    spent_nano: int
    reserved_nano: int
    overrun_nano: int
    unpriced_calls: int
    refused: int
    told: int
    made_at: float
    removed_at: float | None = None
    closed: list["State"] = field(default_factory=list)
    """How it stood at the ends of periods that have ended since it was written."""

    def advance(self, at: float) -> None:
        """Begin the period anew that `at` is in; what is reserved stays, it will be spent in the new one."""
        start = began(self.period, at, self.made_at)
        if start > self.since:
            self.closed.append(self.copy())
            self.since = start
            self.spent_nano = self.overrun_nano = self.unpriced_calls = self.refused = self.told = 0

    def copy(self) -> "State":
        """Without what is closed."""
        told = {name: getattr(self, name) for name in self.__slots__ if name != "closed"}
        return State(**told)

    def add(self, move: Any) -> None:
        """A change, in the order of their times. What was spent in a period that is over is no part of this one."""
        self.advance(move.at)
        self.reserved_nano += move.reserved_nano
        if began(self.period, move.at, self.made_at) >= self.since:
            self.spent_nano += move.spent_nano
            self.overrun_nano += move.overrun_nano
            self.unpriced_calls += move.unpriced_calls

    @property
    def left_nano(self) -> int:
        """What may still be reserved; never below zero."""
        return max(0, self.limit_nano - self.spent_nano - self.reserved_nano)

    def fits(self, nano: int | None) -> bool:
        """Whether so much more may be reserved; None: nobody knows how much."""
        return self.unpriced if nano is None else nano <= self.left_nano

    def reached(self) -> int:
        """The share of the limit that is spent, as far as it is told; 0: less than the first. A run tells its own."""
        spent = 0 if self.period == "run" else self.spent_nano * 100
        return next((share for share in SHARES if spent and spent >= self.limit_nano * share), 0)


def refusal(state: State, nano: int | None) -> Failure:
    """Why a request does not fit, what is left, and when it resets."""
    resets = ends(state.period, state.since)
    limit, left = to_usd(state.limit_nano), to_usd(state.left_nano)
    whose = f"the budget of {limit} dollars {_PER[state.period]} for {state.scope.words()}"
    own = state.period == "run"
    if nano is None:
        pass_ = "submit the run without budget_usd" if own else "let the budget pass it (--allow-unpriced)"
        words = f"nothing prices this model, and {whose} is a hard one; give it a price (GENAI_PRICES), or {pass_}"
    else:
        again = f"; it begins anew at {moment(resets)}" if resets is not None else ""
        again = "; retry the run with a greater budget_usd" if own else again
        words = f"{whose} has {left} dollars left, and this may cost up to {to_usd(nano)}{again}"
    details = {
        "budget": state.id,
        "limit_usd": limit,
        "spent_usd": to_usd(state.spent_nano),
        "reserved_usd": to_usd(state.reserved_nano),
        "left_usd": left,
        "needed_usd": to_usd(nano),
        "resets_at": None if resets is None else moment(resets),
    }
    return Failure(type=ErrorType.BUDGET_EXCEEDED, message=words, retryable=resets is not None, details=details)


_PER: Mapping[str, str] = {"day": "a day", "month": "a month", "total": "in total", "run": "in total"}
