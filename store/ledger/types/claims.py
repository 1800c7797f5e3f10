"""What a claim wants, sees and leases, and the slots that its rows need."""

import time
from dataclasses import dataclass, field

from store.ledger.order import Order, Pair, Queues, Waiting

Pool = tuple[str, str]
"""(provider, model): whose slots a request needs."""


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
    alone: bool
    """Nobody but its HTTP caller waits for it; who follows it asks anew when it fails."""
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
