"""Rows that wait for other rows: who goes next when a row ends, and who ends with it.

A row waits for its turn (`ORDER`: `options.ordered`), for the answer of the row that has its idempotency key (`KEY`), or for
the answer of one that asks for the very same (`FLIGHT`). The row that others wait for is locked when they are accepted,
so that its end and their coming are seen in one order. What a batch must be asked for travels in columns that are read
anyway: a batch without such rows costs no statement here.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import orjson
from sqlalchemy import Connection, bindparam, func, insert, select, update

from schemas.errors import Failure
from schemas.result import Status
from store import rows
from store.ledger import answers
from store.ledger.types.claims import Claimed, Pool
from store.ledger.types.records import Routes
from store.ledger.types.steps import Shared
from store.tables import FOLLOWS, HEAD, QUEUED, bodies, outbox, requests, results

NONE, ORDER, KEY, FLIGHT = range(4)
"""Values of `behind`; a follower of an idempotency key or of a flight takes no turn of its own."""
MAX_FOLLOWERS = 1000
"""Of one flight: they end in one transaction. The next one with the same question asks it anew."""

_R = requests.c


@dataclass(frozen=True, slots=True)
class Ended:
    """How a row has ended."""

    status: Status
    body: bytes
    failure: Failure | None = None
    dead_letter: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """Pools in which rows may be claimed now, and the followers that ended."""

    woken: frozenset[Pool] = frozenset()
    shared: tuple[Shared, ...] = ()


_HEADS = (
    select(_R.order_key)
    .where(HEAD, _R.order_key.in_(bindparam("keys", expanding=True)))
    .order_by(_R.pk)
    .with_for_update()
)
_LAST = (
    select(_R.order_key, func.max(_R.turn))
    .where(QUEUED, _R.order_key.in_(bindparam("keys", expanding=True)))
    .group_by(_R.order_key)
)
_NEXT = (
    select(_R.pk, _R.provider, _R.model)
    .where(
        QUEUED,
        _R.order_key == bindparam("the_key"),
        _R.behind == ORDER,
        _R.pk.not_in(bindparam("gone", expanding=True)),
    )
    .order_by(_R.turn)
    .limit(1)
    .with_for_update()
)
_GO = update(requests).where(_R.pk == bindparam("the_pk")).values(behind=NONE)
WAITED_FOR = (_R.order_key, _R.behind, _R.followers)
"""The columns by which `ended` knows whether somebody waits for a row."""
_FOLLOWERS = (
    select(requests, bodies.c.value, bodies.c.headers)
    .join_from(requests, bodies, bodies.c.request_pk == _R.pk)
    .where(FOLLOWS, _R.follows.in_(bindparam("pks", expanding=True)))
    .order_by(_R.pk)
    .with_for_update(of=requests)
)
_LEADERS = (
    select(_R.pk, _R.id, _R.tenant, _R.generation, _R.idem)
    .where(_R.pk.in_(bindparam("pks", expanding=True)))
    .order_by(_R.pk)
)
_END = (
    update(requests)
    .where(_R.pk == bindparam("the_pk"))
    .values(
        state=bindparam("the_state"),
        completed_at=bindparam("the_time"),
        error_type=bindparam("the_error"),
        fingerprint=None,
    )
)
_LEAD = (
    update(requests)
    .where(_R.pk == bindparam("the_pk"))
    .values(
        behind=bindparam("the_behind"),
        follows=None,
        idem=bindparam("the_idem"),
        order_key=bindparam("the_order"),
        turn=bindparam("the_turn"),
        followers=bindparam("the_followers"),
        lane=bindparam("the_lane"),
    )
)
_FOLLOW = update(requests).where(_R.pk == bindparam("the_pk")).values(follows=bindparam("the_lead"))
_GIVE_UP = update(requests).where(_R.pk == bindparam("the_pk")).values(idem=None, follows=bindparam("the_lead"))


def order_key(tenant: str, operation: str, key: bytes | None, *, ordered: bool) -> bytes | None:
    """What rows that go one after another share; nothing for a record without a key, which asks for no order."""
    if not ordered or key is None:
        return None
    return rows.digest(b"order", tenant.encode(), operation.encode(), key)


def turns(conn: Connection, keys: Collection[bytes]) -> dict[bytes, int]:
    """The last turn of each key that has unfinished rows, its head locked: nothing is released meanwhile."""
    last: dict[bytes, int] = {}
    missed: Collection[bytes] = ()
    while keys:
        asked = {"keys": rows.padded(sorted(keys))}
        locked = {bytes(key) for key in conn.execute(_HEADS, asked).scalars()}
        found = {bytes(key): turn for key, turn in conn.execute(_LAST, asked)}
        last |= {key: turn for key, turn in found.items() if key in locked}
        keys = found.keys() - locked  # whoever was the head has ended just now: the next one is
        for key in keys & set(missed):  # not even then: an older program ended the head and released nobody
            rows.many(conn, _GO, ({"the_pk": row.pk} for row in conn.execute(_NEXT, {"the_key": key, "gone": [0]})))
        missed = keys
    return last


@dataclass(frozen=True, slots=True)
class Waiting:
    """Who waits for rows that end in this transaction, locked."""

    next: tuple[Any, ...] = ()
    """The next one of each key whose head ends."""
    followers: tuple[Any, ...] = ()


def lock(conn: Connection, ending: Iterable[Any]) -> Waiting:
    """Whoever waits for these rows, which have `pk` and `WAITED_FOR`, and does not end with them by itself.

    Before the books are locked, as all rows are.
    """
    keys, leaders, gone = set(), set(), set()
    for row in ending:
        gone.add(row.pk)
        if row.order_key is not None and row.behind == NONE:
            keys.add(bytes(row.order_key))
        if row.followers:
            leaders.add(row.pk)
    followers = conn.execute(_FOLLOWERS, {"pks": rows.padded(leaders)}).all() if leaders else []
    found = [conn.execute(_NEXT, {"the_key": key, "gone": rows.padded(gone)}).first() for key in sorted(keys)]
    return Waiting(
        tuple(row for row in found if row is not None), tuple(row for row in followers if row.pk not in gone)
    )


def after(conn: Connection, routes: Routes, waiting: Waiting, ended: Mapping[int, Ended], at: float) -> Outcome:
    """Who goes on and who ends, now that the rows have ended that these waited for."""
    rows.many(conn, _GO, ({"the_pk": row.pk} for row in waiting.next))
    woken = {(row.provider, row.model) for row in waiting.next}
    if not waiting.followers:
        return Outcome(frozenset(woken))
    following = _Following(conn, routes, at)
    following.end(waiting.followers, ended)
    return Outcome(frozenset(woken | following.woken), tuple(following.shared))


def lock_followers(conn: Connection, leaders: Iterable[Any]) -> None:
    """Of rows (`pk`, `WAITED_FOR`) that `let_fly` will be asked about; before the books are locked, as all rows are."""
    if pks := [row.pk for row in leaders if row.followers]:
        conn.execute(_FOLLOWERS, {"pks": rows.padded(pks)}).all()


def let_fly(conn: Connection, routes: Routes, held: Iterable[Any], at: float) -> frozenset[Pool]:
    """Of rows (`pk`, `WAITED_FOR`) that wait for a human now, or for another model than was asked for: who only asks the same
    waits for none of them, and one leads the others. Pools in which they may be claimed.
    """
    leaders = [row.pk for row in held if row.followers]
    if not leaders:
        return frozenset()
    following = _Following(conn, routes, at)
    following.let_fly(conn.execute(_FOLLOWERS, {"pks": rows.padded(leaders)}).all())
    return frozenset(following.woken)


class _Following:
    """The followers of rows that have ended: they end too, or are let go, or one of them leads the others."""

    def __init__(self, conn: Connection, routes: Routes, at: float) -> None:
        self.conn, self.routes, self.at = conn, routes, at
        self.shared: list[Shared] = []
        self.letters: list[answers.OutRow] = []
        self.follows: list[dict[str, int]] = []
        self.woken: set[Pool] = set()

    def end(self, followers: Sequence[Any], ended: Mapping[int, Ended]) -> None:
        """All of them, in the leaders' transaction."""
        of: dict[int, list[Any]] = defaultdict(list)
        for row in followers:
            of[row.follows].append(row)
        for lead in self.conn.execute(_LEADERS, {"pks": rows.padded(of)}).all():
            self._of(lead, ended[lead.pk], of[lead.pk])
        self._write()

    def let_fly(self, followers: Sequence[Any]) -> None:
        """Those with the key of their leader stay behind it: its answer is theirs, whenever it comes."""
        of: dict[int, list[Any]] = defaultdict(list)
        for row in followers:
            if row.behind == FLIGHT:
                of[row.follows].append(row)
        for flying in of.values():
            self._lead(flying[0], None, flying[1:])
        self._write()

    def _of(self, lead: Any, end: Ended, followers: Sequence[Any]) -> None:
        if end.status is Status.SUCCEEDED:
            for row in followers:
                self._share(row, lead, end)
        elif end.status is Status.FAILED:  # a key stands for one answer, whatever it is; a flight only saves calls
            for row in followers:
                if row.behind == KEY:
                    self._share(row, lead, end)
                else:
                    self._lead(row, None)
        else:
            self._pass_on(lead, followers)

    def _share(self, row: Any, lead: Any, end: Ended) -> None:
        claim = _claim_of(row)
        origin = answers.origin(lead.id if lead.tenant == row.tenant else None, lead.generation, self.at)
        told = answers.told_of(claim, self.at)
        body = answers.copied(end.body, told, origin, replayed=row.behind == KEY)
        saved = answers.cost_of(end.body)
        kind: Literal["key", "flight"] = "key" if row.behind == KEY else "flight"
        self.shared.append(Shared(claim, lead.pk, kind, end.status, body, saved))
        self.letters += answers.letters(self.routes, claim, body, end.failure if end.dead_letter else None, 0)

    def _pass_on(self, lead: Any, followers: Sequence[Any]) -> None:
        """The oldest leads, of those with the key before those that only ask the same."""
        by_key = [row for row in followers if row.behind == KEY]
        flying = [row for row in followers if row.behind == FLIGHT]
        if by_key:
            with_it = [row for row in flying if row.fingerprint == by_key[0].fingerprint]
            flying = [row for row in flying if row.fingerprint != by_key[0].fingerprint]
            self.conn.execute(_GIVE_UP, {"the_pk": lead.pk, "the_lead": by_key[0].pk})
            self._lead(by_key[0], lead.idem, [*by_key[1:], *with_it])
        if flying:
            self._lead(flying[0], None, flying[1:])

    def _lead(self, row: Any, idem: bytes | None, others: Sequence[Any] = ()) -> None:
        """It goes its own way, in the best lane of those that wait for it; an ordered one takes its turn only now."""
        key = order_key(row.tenant, row.operation, row.key, ordered=row.ordered)
        last = turns(self.conn, {key}).get(key) if key is not None else None
        if last is None:
            self.woken.add((row.provider, row.model))
        self.conn.execute(
            _LEAD,
            {
                "the_pk": row.pk,
                "the_behind": NONE if last is None else ORDER,
                "the_idem": idem,
                "the_order": key,
                "the_turn": (last or 0) + 1,
                "the_followers": len(others),
                "the_lane": min(each.lane for each in (row, *others)),
            },
        )
        self.follows += [{"the_pk": each.pk, "the_lead": row.pk} for each in others]

    def _write(self) -> None:
        rows.many(self.conn, _FOLLOW, self.follows)
        shared, at = self.shared, self.at
        rows.many(
            self.conn,
            _END,
            (
                {
                    "the_pk": one.claim.pk,
                    "the_state": one.status.value,
                    "the_time": at,
                    "the_error": (orjson.loads(one.body)["error"] or {}).get("type"),
                }
                for one in shared
            ),
        )
        rows.many(
            self.conn,
            insert(results),
            (
                {
                    "request_pk": one.claim.pk,
                    "generation": one.claim.generation,
                    "status": one.status.value,
                    "body": one.body,
                    "completed_at": at,
                }
                for one in shared
            ),
        )
        rows.many(self.conn, insert(outbox), self.letters)


_CLAIMED = tuple(field.name for field in fields(Claimed) if field.name not in {"leased_at", "taken_at", "at"})


def _claim_of(row: Any) -> Claimed:
    """A follower as the row that it would have been if it had been leased now."""
    return Claimed(**{name: getattr(row, name) for name in _CLAIMED}, leased_at=row.accepted_at)
