"""The port to a provider's batches: many calls handed over at once, answered within a day, at a lower price.

A batch bears a marker of ours, so that whoever finds our ledger in doubt asks the provider before anything is handed over a
second time. Where a provider's list does not show markers, `find` gives those that may be it, and only their results prove it:
they name our calls.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from providers.calls import ChatAnswer, ChatCall, EmbedAnswer, EmbedCall, Kind, Spent


class Forgotten(Exception):
    """The provider does not know this batch (any more)."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one batch may hold at most."""

    items: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Parcel:
    """What is handed over: calls of one kind to one model. `items`: the id and the body of each, as `Batches.item` made it."""

    marker: str
    model: str
    kind: Kind
    items: Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Standing:
    """A batch as its provider tells of it. `proven`: by its marker, or since we were told its name when we handed it over.

    `ended`: nothing of it runs any more, and `results` gives what there is. `files`: where the provider keeps it.
    """

    id: str
    ended: bool
    proven: bool = True
    why: str = ""
    """Why it failed as a whole, in the provider's words."""
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Returned:
    """One call of an ended batch. `body`: the answer, or the refusal, as `Batches.read` takes it; None: it was never run, which
    costs nothing, and `why` says so.
    """

    id: str
    body: bytes | None
    why: str = ""


class Batches(Protocol):
    """One provider's batches. Methods raise `ProviderError`, and `Forgotten` where a batch is asked for by name."""

    bounds: Bounds

    def takes(self, kind: Kind) -> bool:
        """Whether calls of this kind can be handed over."""

    def item(self, call: ChatCall | EmbedCall) -> bytes:
        """A call as it stands in a batch. Raises what the call itself would raise before it is sent."""

    def read(self, body: bytes, call: ChatCall | EmbedCall, node: str) -> ChatAnswer | EmbedAnswer:
        """The answer to a call, its tier `batch`. Raises ProviderError for a refusal."""

    def spent(self, body: bytes) -> Spent | None:
        """What a call has used whose answer nobody wants any more; None: it was refused, and used nothing."""

    async def submit(self, parcel: Parcel, node: str, timeout_s: float) -> Standing:
        """Hand over. A `Broken` says that the provider may have it all the same."""

    async def find(self, parcel: Parcel, since: float, node: str) -> Sequence[Standing]:
        """The batches made since then (seconds since 1970, by our clock) that are this one or may be it, the oldest first."""

    async def look(self, id_: str, node: str) -> Standing:
        """How it stands."""

    async def results(self, standing: Standing, node: str) -> Sequence[Returned]:
        """What came of the calls of an ended batch; those that it does not name were not run."""

    async def stop(self, id_: str, node: str) -> None:
        """Ask the provider to run no more of it. It ends some time later; what was run by then is paid."""

    async def tidy(self, standing: Standing, node: str) -> None:
        """Take away what the provider keeps of an ended batch, as far as it can be."""


@runtime_checkable
class Batching(Protocol):
    """A provider that may have batches."""

    def batches(self) -> Batches | None:
        """None: at this server there are none."""


@runtime_checkable
class Flexible(Protocol):
    """A provider that has a cheaper tier for calls that may be refused or take long."""

    def has_flex(self, model: str) -> bool: ...
