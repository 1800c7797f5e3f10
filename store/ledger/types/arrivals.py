"""What arrives at the doors, decoded, and what the ledger decides about it."""

from dataclasses import dataclass, field
from typing import Any, Literal

from schemas.errors import Failure
from store.ledger.types.records import Position
from store.ledger.types.steps import Call

Kept = Literal["stored", "resumable"]
"""Of a response: it can be asked for again; and so can its stream, whose pieces stay."""
RESUMABLE: Kept = "resumable"


@dataclass(frozen=True, slots=True)
class Ask:
    """A request, decoded. `failure` is set when it is invalid: then it is answered at once and never called."""

    tenant: str
    operation: str
    id: str
    payload_hash: bytes
    lane: int = 1
    provider: str = ""
    model: str = ""
    paid: bool = False
    on_ambiguous: Literal["retry", "fail", "hold"] = "retry"
    deadline: float | None = None
    run_id: str | None = None
    idempotency_key: str | None = None
    supersede_key: str | None = None
    ordered: bool = False
    metadata: dict[str, Any] = field(default_factory=dict)
    pinned: str | None = None
    """What the operation settled now, so that nothing changes it while the request waits."""
    fingerprint: bytes | None = None
    """What decides the answer; None: it is neither taken from the cache nor kept there."""
    fresh_s: float = 0.0
    """How old a cached answer may be; 0: none will do, and nobody's call is waited for."""
    alone: bool = False
    """Over HTTP: nobody but the caller waits for the answer, as far as this request says."""
    caller: str | None = None
    """Of one that is alone: the process at which its caller waits, whose death is the caller's leaving."""
    patience_s: float = 600.0
    """So long after its acceptance it is due, unless its deadline is sooner."""
    weight: int = 0
    """Tokens it may take, guessed: what it is charged with until it is known."""
    key_id: str | None = None
    """Whose key brought it over HTTP; None: nobody's, or the operator's."""
    estimate_nano: int | None = 0
    """What its first call may cost at most; None: nothing prices its model."""
    most_at_once: int | None = None
    """So many unfinished requests its key may have; one more is not taken (`crowded`)."""
    quiet: bool = False
    """Only its caller is told its answer: neither a result nor a dead letter is published."""
    streamed: bool = False
    """Its caller reads along, so whoever runs it sends the pieces across."""
    response: "Kept | None" = None
    """As `/v1/responses` asked for it; None: it cannot be asked for there again."""
    route: str | None = None
    """The route that it came by, as `schemas.routes.Pinned`; None: it named its model."""
    wait_s: float | None = None
    """It goes to its route's next target when it has waited so long, or half of the time to its deadline; None: never."""
    failure: Failure | None = None
    unreadable: bool = False
    """The bytes are no request at all: they also go to the dead letters."""
    read: Any = field(default=None, compare=False, repr=False)
    """The request and its input as the door has read them, for whoever begins it in this process; the ledger does not keep it."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Bytes that are no request and hold no id: dead letters only."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class CancelAsk:
    """A cancel, decoded: one request, or a run."""

    tenant: str
    operation: str | None = None
    id: str | None = None
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """One record at a door. `position` is None for what came over HTTP."""

    what: Ask | Unreadable | CancelAsk
    position: Position | None
    key: bytes | None
    value: bytes | None
    headers: bytes
    """As `store.rows.pack_headers` made them."""
    first: "First | None" = None
    """Whoever takes it in begins it at the same time."""


Decision = Literal[
    "accepted",
    "invalid",
    "duplicate",
    "replayed",
    "again",
    "conflict",
    "redelivered",
    "unreadable",
    "cancelled",
    "bad_data",
    "cached",
    "crowded",
    "refused",
]


@dataclass(frozen=True, slots=True)
class Accepted:
    """What the ledger decided about one arrival; `body` is the published result where there is one already."""

    decision: Decision
    pk: int | None = None
    generation: int = 0
    body: bytes | None = None
    saved_nano: int | None = None
    """What the calls would have cost that another request's answer has made needless."""
    state: str | None = None
    """Of a cancel: where its request stood; None: nobody knows it yet, or it was about a run."""


@dataclass(slots=True)
class First:
    """The first call of a request that is being accepted, once it is built: if its row is leased by the same transaction and
    its slot is there, its intent stands with it.
    """

    call: Call | None = None
    unsure: bool = False
    """A commit may have opened it whose outcome we never learnt."""
