"""OpenAI's streams, read piece by piece: server-sent events, each a JSON with a delta, `[DONE]` at the end.

An answer is whole when a finish reason came and `[DONE]` after it: what ends without them was cut on its way, however tidily its
connection was closed.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson

from providers import openai_wire as wire
from providers.calls import ChatAnswer, ChatCall, Delta, Spent, ToolCall
from providers.errors import ProviderError, ServerError, Unreadable

Failed = Callable[[Any], ProviderError]
"""An error's JSON, told inside a stream, to the port's error."""


class Reading:
    """One stream. `feed` it the pieces of the body as they come; `answer` at its end says what it was.

    `failed` reads an error that came before anything else; after the first token any error is the server's failure.
    """

    def __init__(self, call: ChatCall, who: str, failed: Failed) -> None:
        self._call = call
        self._who = who
        self._failed = failed
        self._rest = b""
        self._events = 0
        self._done = False
        self._wrong: ProviderError | None = None
        self._text: list[str] = []
        self._thought: list[str] = []
        self._refusal: list[str] = []
        self._logprobs: list[Any] = []
        self._calls: list[ToolCall] = []
        self._places: dict[Any, int] = {}
        self._finish: Any = None
        self._told = 0
        self._spent: Spent | None = None
        self._model: str | None = None
        self._tier = ""

    def feed(self, piece: bytes) -> None:
        """Raises nothing: what is wrong is said at the end."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            self._line(line)

    def answer(self, body: bytes) -> ChatAnswer:
        """Of the whole stream; `body` is all of it. Raises what the end shows: ServerError, Unreadable, a refusal.

        A server that does not stream answers with the whole JSON instead.
        """
        if not self._events and body.lstrip()[:1] == b"{":
            return self._at_once(body)
        self._line(self._rest)
        if self._wrong is not None:
            raise self._wrong
        if self._events and not self._done:
            raise Unreadable(f"{self._who} ended its stream before the end of the answer.", spent=self._spent)
        if not self._events or (self._finish is None and not self._told):
            raise Unreadable(f"{self._who} gave a stream without a choice.", spent=self._spent)
        made = ChatAnswer(
            "".join(self._text),
            wire.finish(self._finish, self._who, self._spent),
            Spent(),
            tool_calls=tuple(self._calls),
            refusal="".join(self._refusal) or None,
            reasoning="".join(self._thought) or None,
            logprobs=wire.entries(self._logprobs),
            model=self._model,
        )
        spent = self._spent or wire.guessed(self._call, made)
        return replace(made, spent=replace(spent, tier=spent.tier or self._tier))

    def _at_once(self, body: bytes) -> ChatAnswer:
        answer = wire.read_chat(body, self._call, self._who)
        calls = tuple(enumerate(answer.tool_calls))
        whole = Delta(answer.text, answer.reasoning or "", answer.refusal or "", calls, answer.logprobs or ())
        self._tell(whole)
        return answer

    def _line(self, line: bytes) -> None:
        if not line.startswith(b"data:") or self._wrong is not None:
            return
        data = line[5:].strip()
        self._events += 1
        if data == b"[DONE]":
            self._done = True
            return
        try:
            event = orjson.loads(data)
            self._event(event)
        except (orjson.JSONDecodeError, AttributeError, TypeError, KeyError, ValueError) as error:
            words = f"{self._who} streamed what is no piece of an answer ({type(error).__name__}): {wire.quoted(data)}"
            self._wrong = Unreadable(words, spent=self._spent)

    def _event(self, event: dict[str, Any]) -> None:
        if event.get("error"):
            self._wrong = self._error(event["error"])
            return
        self._spent = wire.known_spent(event) or self._spent
        self._tier = event.get("service_tier") or self._tier
        self._model = wire.model_of(event, self._call) or self._model
        for choice in event.get("choices") or ():
            self._finish = choice.get("finish_reason") or self._finish
            self._delta(choice.get("delta") or {}, choice.get("logprobs"))

    def _error(self, error: Any) -> ProviderError:
        if self._told:
            return ServerError(f"{self._who} says inside its answer: {wire.said(error)}", spent=self._spent)
        return self._failed(error)

    def _delta(self, delta: dict[str, Any], logprobs: Any) -> None:
        text, thought = wire.texts(delta)
        refusal = delta.get("refusal") or ""
        calls = tuple(self._tool(each) for each in delta.get("tool_calls") or ())
        entries = wire.entries([logprobs]) or ()
        if logprobs is not None:
            self._logprobs.append(logprobs)
        for kept, piece in ((self._text, text), (self._thought, thought), (self._refusal, refusal)):
            if piece:
                kept.append(piece)
        if text or thought or refusal or calls or entries:
            self._tell(Delta(text, thought, refusal, calls, entries))

    def _tool(self, told: dict[str, Any]) -> tuple[int, ToolCall]:
        """A piece of a tool's call, by its `index`; some servers number none and tell them apart by their ids."""
        function = told.get("function") or {}
        id_, name, arguments = told.get("id") or "", function.get("name") or "", function.get("arguments") or ""
        place = self._place(told.get("index"), id_)
        if place == len(self._calls):
            piece = ToolCall(id_ or f"call_{place + 1}", name, arguments)
            self._calls.append(piece)
            return place, piece
        before = self._calls[place]
        self._calls[place] = ToolCall(before.id, before.name or name, before.arguments + arguments)
        return place, ToolCall("", "" if before.name else name, arguments)

    def _place(self, index: Any, id_: str) -> int:
        if index is None and not id_:
            return max(0, len(self._calls) - 1)
        return self._places.setdefault(id_ if index is None else index, len(self._calls))

    def _tell(self, delta: Delta) -> None:
        self._told += 1
        if self._call.on_tokens is not None:
            self._call.on_tokens(self._told)
        if self._call.on_delta is not None:
            self._call.on_delta(delta)
