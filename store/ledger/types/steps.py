"""What happens to a leased row: calls that open and close, what comes next, and what the ledger says to it."""

from dataclasses import dataclass
from typing import Any, Literal

from schemas.errors import Failure
from schemas.result import Status, Totals
from schemas.tiers import Tiered
from store.ledger.types.claims import Claimed, Pool, Slot

UNFINISHED = frozenset({"waiting", "leased", "calling", "held"})


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
    cache_write_1h_tokens: int = 0
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
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Generating:
    """How far a request is whose call takes long: tokens of all its answers so far, of `calls` calls, the last `since`."""

    claim: Claimed
    tokens: int
    calls: int
    since: float
