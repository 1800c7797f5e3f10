"""Anthropic's streamed answer, read as it comes: pieces are told at once, and in the end it is read as a whole one is.

Events: message_start, content_block_start, content_block_delta, content_block_stop, message_delta, message_stop, ping, error;
others are passed over, as Anthropic asks of its readers.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson

from providers import counted
from providers.anthropic_reply import answer, midway, spent, unwrapped
from providers.anthropic_wire import Sent
from providers.calls import ChatAnswer, Delta, Spent, ToolCall
from providers.errors import ProviderError, Unreadable

_PIECES = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}


class Events:
    """Server-sent events out of bytes that are cut anywhere: the JSON of each."""

    def __init__(self) -> None:
        self._rest = b""

    def take(self, piece: bytes) -> list[bytes]:
        """The data of each event that is whole now; lines of one event are joined, comments and names left out."""
        whole = (self._rest + piece).replace(b"\r\n", b"\n")
        *events, self._rest = whole.split(b"\n\n")
        found = (b"".join(line[5:].strip() for line in each.split(b"\n") if line[:5] == b"data:") for each in events)
        return [data for data in found if data]


class Reading:
    """One streamed answer. `hear` raises nothing; `answer` says in the end what was wrong."""

    def __init__(
        self,
        sent: Sent,
        on_tokens: Callable[[int], None] | None,
        on_delta: Callable[[Delta], None] | None,
        who: str = "Anthropic",
    ) -> None:
        self._sent, self._on_tokens, self._who = sent, on_tokens, who
        self._on_delta = None if on_delta is None else self._first_of(on_delta)
        self._events = Events()
        self._message: dict[str, Any] | None = None
        self._blocks: dict[int, dict[str, Any]] = {}
        self._parts: dict[int, list[str]] = {}
        self._calls: dict[int, int] = {}
        """The number of a tool call, by the index of its block."""
        self._tokens = 0
        self._whole = False
        self._error: ProviderError | None = None

    def hear(self, piece: bytes) -> None:
        """Some bytes of the answer's body, whatever its status is."""
        for data in self._events.take(piece) if self._error is None else ():
            try:
                event = orjson.loads(data)
            except orjson.JSONDecodeError as error:
                self.fail(Unreadable(f"{self._who}'s stream holds what is no JSON ({error})."))
                return
            self.event(event)

    def event(self, event: Any) -> None:
        """One event, in Anthropic's words. After an error nothing more is heard."""
        if self._error is not None:
            return
        try:
            self._heard(event)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            self.fail(Unreadable(f"{self._who}'s stream holds what is no event of it ({type(error).__name__})."))

    def fail(self, error: ProviderError) -> None:
        """The stream is not worth reading on; the first reason stands."""
        self._error = self._error or error

    def answer(self) -> ChatAnswer:
        """Raises what the stream said, and Unreadable where its end is missing."""
        if self._error is not None:
            if self._error.spent is None and self._error.maybe_paid:
                self._error.spent = self.spent()
            raise self._error
        if self._message is None or not self._whole:
            raise Unreadable(f"{self._who}'s stream ended before its answer did.", spent=self.spent())
        content = [self._blocks[index] for index in sorted(self._blocks)]
        return answer(self._message | {"content": content}, self._sent, self._who)

    def spent(self) -> Spent | None:
        """What has surely been used so far: the prompt as counted, and the pieces that came. None: no count of it came."""
        if self._message is None or "input_tokens" not in self._message["usage"]:
            return None
        usage = self._message["usage"]
        made = max(counted.count(usage.get("output_tokens")) or 0, self._tokens)
        return spent(usage | {"output_tokens": made}, estimated=not self._whole)

    def _first_of(self, on_delta: Callable[[Delta], None]) -> Callable[[Delta], None]:
        """The first piece says what the prompt came to."""

        def told(delta: Delta) -> None:
            self._on_delta = on_delta
            on_delta(replace(delta, prompt=self._prompt()))

        return told

    def _prompt(self) -> Spent | None:
        usage = {} if self._message is None else self._message["usage"]
        return spent(usage | {"output_tokens": 0}) if "input_tokens" in usage else None

    def _heard(self, event: dict[str, Any]) -> None:
        match event["type"]:
            case "message_start":
                message = event["message"]
                self._message = message | {"usage": dict(message.get("usage") or {})}
            case "content_block_start":
                self._begin(event["index"], dict(event["content_block"]))
            case "content_block_delta":
                self._more(event["index"], event["delta"])
            case "content_block_stop":
                self._end(event["index"])
            case "message_delta" if self._message is not None:
                used = {name: count for name, count in (event.get("usage") or {}).items() if count is not None}
                self._message["usage"] |= used
                self._message |= event["delta"]
            case "message_stop":
                self._whole = True
                self._finish()
            case "error":
                self._error = midway(event, self.spent())

    def _begin(self, index: int, block: dict[str, Any]) -> None:
        self._blocks[index] = block
        first = block.get("text") or block.get("thinking") or ""
        self._parts[index] = [first] if first else []
        if block["type"] != "tool_use":
            self._tell(index, first)
        elif not self._sent.tool:
            self._calls[index] = len(self._calls)
            self._call(index, ToolCall(str(block["id"]), str(block["name"]), ""))

    def _more(self, index: int, delta: dict[str, Any]) -> None:
        piece = delta.get(_PIECES.get(delta["type"], ""))
        if not piece:
            return
        self._parts[index].append(piece)
        self._tokens += 1
        if self._on_tokens is not None:
            self._on_tokens(self._tokens)
        self._tell(index, piece)

    def _tell(self, index: int, piece: str) -> None:
        """Words to whoever reads along; those beside a schema's tool are told in the end, if it was not called."""
        if self._on_delta is None or not piece:
            return
        match self._blocks[index]["type"]:
            case "text" if not self._sent.tool:
                self._on_delta(Delta(text=piece))
            case "thinking":
                self._on_delta(Delta(reasoning=piece))
            case "tool_use" if index in self._calls:
                self._call(index, ToolCall("", "", piece))
            case "tool_use" if not self._sent.wrapped:
                self._on_delta(Delta(text=piece))

    def _call(self, index: int, piece: ToolCall) -> None:
        if self._on_delta is not None:
            self._on_delta(Delta(tool_calls=((self._calls[index], piece),)))

    def _end(self, index: int) -> None:
        block, said = self._blocks[index], "".join(self._parts[index])
        if block["type"] != "tool_use":
            name = "thinking" if block["type"] == "thinking" else "text"
            block[name] = said
            return
        if not said:  # a tool that takes nothing may be called without a single piece
            said = orjson.dumps(block.get("input") or {}).decode()
            if index in self._calls:
                self._call(index, ToolCall("", "", said))
        block["input"] = said
        if self._sent.wrapped and self._on_delta is not None:
            self._on_delta(Delta(text=unwrapped((ToolCall("", str(block["name"]), said),), self._sent, "")))

    def _finish(self) -> None:
        if self._on_delta is None or self._message is None:
            return
        blocks = list(self._blocks.values())
        if self._sent.tool and not any(block["type"] == "tool_use" for block in blocks):
            said = "".join(str(block.get("text", "")) for block in blocks if block["type"] == "text")
            self._on_delta(Delta(text=said))
        details = self._message.get("stop_details")
        if isinstance(details, dict) and details.get("explanation"):
            self._on_delta(Delta(refusal=str(details["explanation"])))
