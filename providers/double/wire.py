"""What the double's server must know of a provider's format: one module a format, listed in `providers/double/wires.py`."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Literal, Protocol

from providers.calls import ChatCall, Kind
from providers.double.faults import Plan
from providers.double.http1 import Request, Response

Spoilt = Literal["broken json", "empty", "failed midway"]


@dataclass(frozen=True, slots=True)
class Shelf:
    """What the server has, and how it is set. `seed`: that of its answers."""

    models: tuple[str, ...]
    loaded: tuple[str, ...]
    context_tokens: int
    seed: int

    def has(self, model: Any) -> bool:
        """By its name, with or without Ollama's `:latest`."""
        return isinstance(model, str) and (model in self.models or f"{model}:latest" in self.models)


@dataclass(frozen=True, slots=True)
class Asked:
    """A call that was read and is not refused. `texts`: what its prompt says; `body`: the rest, in the words of its format."""

    wire: "Wire"
    kind: Kind
    model: str
    texts: tuple[str, ...]
    body: dict[str, Any]
    streamed: bool
    chat: ChatCall | None = None
    """A chat in the words of the port, where its format reads it so."""
    unloads: bool = False
    """It asks for no answer: its model is to leave the memory, as an Ollama is told to."""


@dataclass(frozen=True, slots=True)
class Said:
    """An answer in the pieces in which it would be streamed; one, if it is not. `opening`: those up to the first that tells some
    of it, where others come before.
    """

    pieces: tuple[bytes, ...]
    content_type: str = "application/json; charset=utf-8"
    opening: int = 1

    def whole(self) -> Response:
        """All of it at once."""
        return Response(b"".join(self.pieces), kind=self.content_type)


class Refusal(Exception):
    """The call is refused with `response`."""

    def __init__(self, response: Response) -> None:
        self.response = response


class Wire(Protocol):
    """One provider's format."""

    def kind(self, path: str) -> Kind | None:
        """Which kind of call this path takes; None: it is no call of this format."""

    def page(self, request: Request, shelf: Shelf) -> Response | None:
        """What is neither a call nor the double's own, such as a list of models; None: not this format's."""

    def read(self, request: Request, shelf: Shelf) -> Asked:
        """Raises Refusal."""

    def answer(self, asked: Asked, fate: Plan, shelf: Shelf, load_s: float) -> Said:
        """`load_s`: how much of its time the call waited for its model."""

    def failure(self, fate: Plan) -> Response:
        """How this provider says `fate.fault`, one of `FAULTS` with the wire `error`."""

    def spoilt(self, asked: Asked, how: Spoilt, said: Said) -> Response:
        """The answer `said` as it must not be: half a JSON, nothing in it, or an error where its end should be."""


def retry_headers(fate: Plan) -> tuple[tuple[str, str], ...]:
    """`Retry-After`, as seconds or as a date, where the fault is to tell it."""
    wait_s = 1.0 if fate.argument is None else fate.argument
    if fate.fault == "rate_limited":
        return (("Retry-After", f"{wait_s:g}"),)
    if fate.fault == "rate_limited_date":
        return (("Retry-After", format_datetime(datetime.now(UTC) + timedelta(seconds=wait_s), usegmt=True)),)
    return ()
