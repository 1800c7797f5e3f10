"""Held requests: a human's word, from the command line or over HTTP."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from sqlalchemy import Connection

from store import rows
from store.ledger import held
from store.ledger.types.records import Routes

Word = Literal["retry", "drop"]
Named = tuple[str, str, str]
"""(tenant, operation, id)."""

_DONE: Mapping[str, tuple[str, str]] = {
    "retry": ("waiting", "waits for another try"),
    "drop": ("failed", "dropped: it ends as failed, ambiguous"),
}


def decide(conn: Connection, routes: Routes, word: Word, named: Sequence[Named], who: str) -> list[dict[str, Any]]:
    """What became of each, for programs: `state` is the one it is in now, null for an unknown one; `done` says if the word was
    obeyed, `why` in words.
    """
    identities = {rows.identity(*each): each for each in named}
    found = (
        held.retry(conn, list(identities), who) if word == "retry" else held.drop(conn, routes, list(identities), who)
    )
    return [_told(word, each, found.get(identity)) for identity, each in identities.items()]


def _told(word: Word, named: Named, before: str | None) -> dict[str, Any]:
    tenant, operation, id_ = named
    obeyed = before == "held"
    state, says = _DONE[word]
    why = says if obeyed else "nobody knows it" if before is None else f"it is not held, it is {before}"
    told = {"request_id": id_, "tenant": tenant, "operation": operation}
    return told | {"done": obeyed, "state": state if obeyed else before, "why": why}
