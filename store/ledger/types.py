"""The words between the engine, the doors and the ledger."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from schemas.errors import Failure
from schemas.result import Status, Totals
from schemas.tiers import Tiered
from store.ledger.order import Order, Pair, Queues, Waiting

Pool = tuple[str, str]
"""(provider, model): whose slots a request needs."""

UNFINISHED = frozenset({"waiting", "leased", "calling", "held"})

Kept = Literal["stored", "resumable"]
"""Of a response: it can be asked for again; and so can its stream, whose pieces stay."""
RESUMABLE: Kept = "resumable"


@dataclass(frozen=True, slots=True)
class Routes:
    """Where records go. `partition(topic, key)` is the partitioner of the destination, given by the room that knows Kafka."""

    results: str
    usage: str
    dlq: str
    partition: Callable[[str, bytes], int]
    runs: str = ""
    """Where the progress of long calls is published; empty: nowhere."""
    prompts: str = ""
    """Where it is told what prompts and their labels say; empty: nowhere."""
    replays: str = ""
    """Where results go of requests that a replay asked anew; empty: to the others."""
    address: str = ""
    """The web door's address, for results that are too large for a topic."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a record stands. The timestamp tells a topic that was made anew from the old one."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    """Milliseconds since 1970."""


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


@dataclass(frozen=True, slots=True)
class Want:
    """What one process can use of one pool: `ready[lane]` rows it holds without a slot, `total` slots it has."""

    pool: Pool
    total: int
    ready: tuple[int, int, int]
    held: Queues = field(default_factory=Queues)
    """The rows behind `ready`."""
    order: Order = field(default_factory=Order)
    """What this process has picked so far. Both are copies: a claim may run in another thread."""
    after: tuple[str, str, str] = ("", "", "")
    """The tenants, by lane, behind which the claim begins to look."""
    first: frozenset[str] = frozenset()
    """Nodes whose slots go before those of others."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a claim saw of one pool, beside the rows that it leased."""

    lent: bool = False
    """No realtime row waits, and none has come lately: batch may use the reserved slots."""
    again: bool = False
    """There was room for more, and whose turn it is can be known only by another claim."""
    after: tuple[str, str, str] = ("", "", "")
    """Where the next claim begins to look."""


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """The right to one call at a time."""

    provider: str
    model: str
    node: str
    number: int
    reserved: bool


@dataclass(slots=True)
class Claimed:
    """A leased row, with all that running and answering it needs."""

    pk: int
    tenant: str
    operation: str
    id: str
    generation: int
    fence: int
    lane: int
    provider: str
    model: str
    paid: bool
    on_ambiguous: str
    deadline: float | None
    attempts: int
    ambiguous: int
    run_id: str | None
    key: bytes | None
    partition: int
    source_topic: str | None
    source_partition: int | None
    source_offset: int | None
    requested_at: float
    accepted_at: float
    leased_at: float
    """When it was leased; its slot's coming is added, so that queueing ends where the call can begin."""
    pinned: str | None
    due: float
    weight: int
    key_id: str | None
    budgets: str | None
    """Under which it holds `budget_nano`; see `purse.py`."""
    budget_nano: int | None
    quiet: bool
    streamed: bool
    response: str | None
    route: str | None
    value: bytes
    headers: bytes
    taken_at: float = field(default_factory=time.monotonic)
    """This process's own clock, to measure how long the row waited here for a slot."""
    at: float = 0.0
    """The ledger's time when it was taken."""

    def now(self) -> float:
        """The ledger's time, which deadlines are held against; this machine's clock may be wrong, or be set meanwhile."""
        return self.at + time.monotonic() - self.taken_at

    @property
    def pair(self) -> Pair:
        """Whose turn it takes."""
        return Pair(self.lane, self.tenant)

    @property
    def waiting(self) -> Waiting:
        """The row, as its turn depends on it."""
        return Waiting(self.due, self.pk, self.weight, self.accepted_at)


@dataclass(frozen=True, slots=True)
class Call:
    """What the journal says of a call before its first byte leaves."""

    id: str
    number: int
    kind: Literal["chat", "embed", "moderate", "batch"]
    node: str
    input_hash: bytes
    estimate_tokens: int
    estimate_output: int
    estimate_nano: int | None
    price_source: str | None
    price_version: str | None
    prompt: str | None = None
    prompt_version: int | None = None
    budgets: str | None = None
    """Under which its cost is counted; the ledger says it."""
    beside_nano: int | None = 0
    """What an open call of the same request, beside which it is made, may cost at most; None: nobody knows."""

    @property
    def held_nano(self) -> int | None:
        """What the request must hold before this call is made; None: nobody knows."""
        if self.estimate_nano is None or self.beside_nano is None:
            return None
        return self.estimate_nano + self.beside_nano


@dataclass(slots=True)
class First:
    """The first call of a request that is being accepted, once it is built: if its row is leased by the same transaction and
    its slot is there, its intent stands with it.
    """

    call: Call | None = None
    unsure: bool = False
    """A commit may have opened it whose outcome we never learnt."""


@dataclass(frozen=True, slots=True)
class Closing:
    """How a call ended. `event`: it cost anything or returned, so that usage is published and the day's costs grow."""

    call: Call
    outcome: Literal["ok", "error", "wasted"]
    event: bool
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    tier: str = ""
    estimated: bool = False
    gpu_seconds: float | None = None
    cost_nano: int | None = 0
    latency_ms: int = 0
    error_type: str | None = None
    error: str | None = None
    answer: bytes | None = None
    corrects: str | None = None
    """It is no call but the difference of this one's price."""


@dataclass(frozen=True, slots=True)
class End:
    """The terminal answer of one generation."""

    status: Status
    output: dict[str, Any] | None
    failure: Failure | None
    warnings: tuple[str, ...]
    totals: Totals
    metadata: dict[str, Any]
    latency_ms: int
    dead_letter: bool
    attempts: int
    provider: str | None = None
    model: str | None = None
    saved_nano: int | None = None
    """By how much it cost less than its route's next target would have, for which it did not have to wait."""
    hedged: Literal["first", "second"] | None = None
    """Which call answered, where a second one was made beside one that took long."""
    tier: Tiered | None = None
    tier_saved_nano: int | None = None
    """By how much it cost less than on the standard tier."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Back to waiting for `delay_s`; `ambiguous`: a call that may have been paid is made once more."""

    delay_s: float
    ambiguous: bool = False


@dataclass(frozen=True, slots=True)
class Move:
    """Back to waiting in another pool, since its target failed and its route names another one. `route`: what is left of it.

    Its answer is not the one that its fingerprint promised: nobody shares it any more.
    """

    provider: str
    model: str
    paid: bool
    route: str
    ambiguous: bool = False
    wait_s: float | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """A human decides: the last call may have been paid, and the request wants to be asked before another one."""


@dataclass(frozen=True, slots=True)
class Park:
    """The call that opens goes into a provider's batch: the row stays `calling`, its owner is the batch, and it holds no slot.

    `due_at`: then it must be asked for elsewhere. `bucket`: calls whose deadlines are about as far away go together.
    """

    kind: Literal["chat", "embed"]
    node: str
    body: bytes
    due_at: float | None = None
    bucket: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened to a leased row: calls that ended, and what comes next. `free` gives slots back."""

    claim: Claimed
    closings: tuple[Closing, ...] = ()
    opens: Call | None = None
    then: End | Retry | Move | Hold | Park | None = None
    free: Slot | None = None


@dataclass(frozen=True, slots=True)
class Shared:
    """A row that ended with the one it followed, its result, and what its own calls would have cost."""

    claim: Claimed
    lead: int
    kind: Literal["key", "flight"]
    status: Status
    body: bytes
    saved_nano: int


@dataclass(frozen=True, slots=True)
class Stepped:
    """`held`: the row was still ours and the step is committed. `cancel`: somebody asked to stop it. `body`: the result."""

    held: bool
    cancel: bool = False
    refused: Failure | None = None
    """No budget has room for the call that was to begin; it did not."""
    held_nano: tuple[str | None, int] | None = None
    """What the row holds now, and under which budgets; None: as before."""
    body: bytes | None = None
    shared: tuple[Shared, ...] = ()
    """Rows that followed it and ended with it."""
    woken: frozenset[Pool] = frozenset()
    """Pools in which rows that waited for it may be claimed now."""


@dataclass(frozen=True, slots=True)
class PastCall:
    """A closed call of an earlier attempt. `here`: it was made of the model that the request is at now."""

    number: int
    input_hash: bytes
    answer: bytes | None
    outcome: str
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    estimated: bool
    cost_nano: int | None
    event: bool
    here: bool = True
    kind: str = "chat"
    tier: str = ""


@dataclass(frozen=True, slots=True)
class Generating:
    """How far a request is whose call takes long: tokens of all its answers so far, of `calls` calls, the last `since`."""

    claim: Claimed
    tokens: int
    calls: int
    since: float


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A record that waits to be published."""

    pk: int
    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
