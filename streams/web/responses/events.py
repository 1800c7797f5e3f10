"""A response told while it is made: their events, numbered from 0. Pure.

The numbers follow from the pieces alone, so that the same pieces are the same events, whoever tells them and how often. An item
ends where another one begins, but for calls: a model may write several side by side.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from providers.calls import Delta, Spent, ToolCall
from streams.web.openai import shape
from streams.web.openai.answers import Sent, choices
from streams.web.problems import Problem
from streams.web.responses import answers
from streams.web.responses.answers import Opened

Event = dict[str, Any]
_Key = tuple[str, int]
_TEXT, _REFUSAL, _THOUGHT = ("text", 0), ("refusal", 0), ("thought", 0)
_CALL = "call"
_PREFIXES = {"text": "msg", "refusal": "msg", "thought": "rs", _CALL: "fc"}
_WORDS = {"text": "output_text", "refusal": "refusal", "thought": "reasoning_text"}
"""What the events of a part are called."""
BROKEN_OFF = "broken_off"


@dataclass(slots=True)
class _Item:
    """One item as far as it was told."""

    key: _Key
    index: int
    id: str
    call: ToolCall | None = None
    said: str = ""
    logprobs: list[dict[str, Any]] = field(default_factory=list)
    ended: dict[str, Any] | None = None

    @property
    def kind(self) -> str:
        return self.key[0]

    def told(self, status: str) -> dict[str, Any]:
        """As an item; one that has only begun is empty."""
        begun = status == "in_progress"
        if self.call is not None:
            return answers.function_call(self.id, status, self.call.id, self.call.name, self.said)
        if self.kind == "thought":
            return answers.thought(self.id, status, None if begun else self.said)
        return answers.message(self.id, status, [] if begun else [self.part()])

    def part(self) -> dict[str, Any]:
        """Its one part."""
        if self.kind == "thought":
            return {"type": "reasoning_text", "text": self.said}
        return (
            answers.refusal_part(self.said)
            if self.kind == "refusal"
            else answers.text_part(self.said, list(self.logprobs))
        )


class Chunks:
    """The events of one response. `after`: of those up to this number nothing is told. `queued`: nobody has begun it yet."""

    def __init__(self, opened: Opened, *, queued: bool = False, after: int = -1) -> None:
        self._opened, self._queued, self._after = opened, queued, after
        self._number, self._begun = 0, False
        self._items: list[_Item] = []
        self._open: dict[_Key, _Item] = {}

    @property
    def number(self) -> int:
        """Of the next event."""
        return self._number

    def first(self, prompt: Spent | None) -> list[Event]:  # noqa: ARG002 - Anthropic's door tells it
        """That it is there."""
        if not self._queued:
            return [self._state("created", "in_progress"), *self._begin()]
        return [self._state("created", "queued"), self._state("queued", "queued")]

    def _begin(self) -> list[Event]:
        if self._begun:
            return []
        self._begun = True
        return [self._state("in_progress", "in_progress")]

    def piece(self, delta: Delta, sent: Sent) -> list[Event]:  # noqa: ARG002 - the other doors' chunks want it
        """As it belongs to an item."""
        made = self._begin()
        if delta.reasoning:
            made += self._words(_THOUGHT, delta.reasoning)
        if delta.text:
            made += self._words(_TEXT, delta.text, answers.logprobs(delta.logprobs))
        if delta.refusal:
            made += self._words(_REFUSAL, delta.refusal)
        for index, call in delta.tool_calls:
            made += self._called(index, call)
        return made

    def _words(self, key: _Key, words: str, found: list[dict[str, Any]] | None = None) -> list[Event]:
        made: list[Event] = []
        if key not in self._open:
            made += self._end(list(self._open.values()))
            item = self._new(key)
            made += [self._added(item), self._part("added", item)]
        item = self._open[key]
        item.said += words
        item.logprobs += found or ()
        more = {"logprobs": found or []} if item.kind == "text" else {}
        return [*made, self._of(item, f"{_WORDS[item.kind]}.delta", content_index=0, delta=words, **more)]

    def _called(self, index: int, call: ToolCall) -> list[Event]:
        made: list[Event] = []
        key = (_CALL, index)
        if key not in self._open:
            made += self._end([item for item in self._open.values() if item.kind != _CALL])
            made.append(self._added(self._new(key, call)))
        item = self._open[key]
        item.said += call.arguments
        if call.arguments:
            made.append(self._of(item, "function_call_arguments.delta", delta=call.arguments))
        return made

    def _new(self, key: _Key, call: ToolCall | None = None) -> _Item:
        index = len(self._items)
        item = _Item(key, index, f"{_PREFIXES[key[0]]}_{self._opened.mark}_{index}", call)
        self._items.append(item)
        self._open[key] = item
        return item

    def _end(self, which: list[_Item], status: str = "completed") -> list[Event]:
        made: list[Event] = []
        for item in which:
            del self._open[item.key]
            if item.call is not None:
                done = {"name": item.call.name, "arguments": item.said}
                made.append(self._of(item, "function_call_arguments.done", **done))
            else:
                name = "refusal" if item.kind == "refusal" else "text"
                more = {"logprobs": list(item.logprobs)} if item.kind == "text" else {}
                told = {"content_index": 0, name: item.said, **more}
                made += [self._of(item, f"{_WORDS[item.kind]}.done", **told), self._part("done", item)]
            item.ended = item.told(status)
            made.append(self._event("output_item.done", output_index=item.index, item=item.ended))
        return made

    def last(self, result: Mapping[str, Any]) -> list[Event]:
        """That it is whole, or why it is not."""
        (choice,) = choices(result)
        made = self._begin()
        if not self._items:
            made += self._empty()
        made += self._end(list(self._open.values()), answers.state_of(choice))
        response = self._opened.ended(result, [item.ended for item in self._items if item.ended is not None])
        return [*made, self._event(response["status"], response=response)]

    def _empty(self) -> list[Event]:
        item = self._new(_TEXT)
        return [self._added(item), self._part("added", item)]

    def stopped(self, response: dict[str, Any]) -> list[Event]:
        """That it ended without an answer."""
        return [*self._begin(), self._event("failed", response=response)]

    def error(self, problem: Problem) -> Event:
        """Instead of the end. Of a response for the background only this stream ends, which has no other one."""
        if self._queued:
            told = shape.error(problem.detail, problem.error.value, problem.status, problem.more)
            return self._numbered({"type": "error", **{name: told[name] for name in ("code", "message", "param")}})
        return self._event("failed", response=self._opened.broken(problem.error.value, problem.detail))

    def event(self, told: Event) -> bytes:
        """Each has its type as its name."""
        if told["sequence_number"] <= self._after:
            return b""
        return b"event: %b\ndata: %b\n\n" % (told["type"].encode(), orjson.dumps(told))

    def done(self) -> bytes:
        """The last event was the end, unless somebody has seen more than there is: what was told has not been recorded whole."""
        if self._after < self._number:
            return b""
        words = f"There are {self._number} events, and none after {self._after}. Ask for the response without `stream`."
        told = {"type": "error", "code": BROKEN_OFF, "message": words, "param": "starting_after"}
        return self.event({**told, "sequence_number": self._after + 1})

    def _state(self, name: str, status: str) -> Event:
        return self._event(name, response=self._opened.told(status))

    def _added(self, item: _Item) -> Event:
        return self._event("output_item.added", output_index=item.index, item=item.told("in_progress"))

    def _part(self, what: str, item: _Item) -> Event:
        return self._of(item, f"content_part.{what}", content_index=0, part=item.part())

    def _of(self, item: _Item, name: str, /, **told: Any) -> Event:
        return self._event(name, item_id=item.id, output_index=item.index, **told)

    def _event(self, name: str, /, **told: Any) -> Event:
        return self._numbered({"type": f"response.{name}", **told})

    def _numbered(self, told: Event) -> Event:
        self._number += 1
        return {**told, "sequence_number": self._number - 1}
