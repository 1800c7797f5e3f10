"""Server-sent events out of lines, as the WHATWG writes it; only the parts that a client of ours needs."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """`id` is what `Last-Event-ID` hands back."""

    event: str
    data: str
    id: str | None = None


class Lines:
    """Lines out of bytes, ended by a line feed alone: a text may hold U+2028 and its like, at which `splitlines` would cut."""

    def __init__(self) -> None:
        self._left: list[bytes] = []

    def feed(self, chunk: bytes) -> list[str]:
        """Those that are whole now."""
        first, *rest = chunk.split(b"\n")
        self._left.append(first)
        if not rest:
            return []
        whole = [b"".join(self._left), *rest[:-1]]
        self._left = [rest[-1]]
        return [line.removesuffix(b"\r").decode() for line in whole]

    def rest(self) -> list[str]:
        """What stands behind the last line feed."""
        left = b"".join(self._left)
        return [left.decode()] if left else []


class Reader:
    """Lines in, an event out where one ends; comments and `retry:` are nothing."""

    def __init__(self) -> None:
        self._event = ""
        self._data: list[str] = []
        self._id: str | None = None

    def line(self, text: str) -> Iterator[Event]:
        """At most one event."""
        if text:
            name, _, value = text.partition(":")
            self._take(name, value.removeprefix(" "))
            return
        if self._data:
            yield Event(self._event or "message", "\n".join(self._data), self._id)
        self._event, self._data = "", []

    def _take(self, name: str, value: str) -> None:
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id":
            self._id = value
