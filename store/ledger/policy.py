"""The state table's decisions, pure."""

from dataclasses import dataclass
from typing import Literal

from schemas.errors import ErrorType
from store.ledger.types.steps import UNFINISHED


@dataclass(slots=True)
class Known:
    """What the ledger holds of an identity."""

    pk: int
    state: str
    generation: int
    fence: int
    payload_hash: bytes
    error_type: str | None
    alone: bool = False
    superseded: bool = False
    """A newer one has taken its place: it is never run again."""
    quiet: bool = False
    follows: int | None = None
    """The row whose answer it has waited for, or had."""


def on_known(known: Known, payload_hash: bytes) -> Literal["duplicate", "replayed", "again", "conflict"]:
    """The same identity from a new position."""
    if known.payload_hash != payload_hash:
        if known.error_type == ErrorType.INVALID_REQUEST and known.state not in UNFINISHED:
            return "again"
        return "conflict"
    if known.state in UNFINISHED:
        return "duplicate"
    return "replayed" if known.state == "succeeded" or known.superseded else "again"


MAX_DEATHS_CALLING = 2
MAX_DEATHS_LEASED = 5

OnDeath = Literal["waiting", "poison", "ambiguous_retry", "ambiguous_fail", "hold"]


def on_death(
    *,
    calling: bool,
    open_intent: bool,
    paid: bool,
    on_ambiguous: str,
    ambiguous: int,
    deaths_calling: int,
    deaths_leased: int,
) -> OnDeath:
    """The owner of a row died; the death is already counted."""
    if deaths_calling >= MAX_DEATHS_CALLING or deaths_leased >= MAX_DEATHS_LEASED:
        return "poison"
    if not (calling and open_intent and paid):
        return "waiting"
    if on_ambiguous == "retry" and ambiguous == 0:
        return "ambiguous_retry"
    return "hold" if on_ambiguous == "hold" else "ambiguous_fail"
