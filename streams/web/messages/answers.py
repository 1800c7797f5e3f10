"""Results as Anthropic's messages and events. Pure."""

from collections.abc import Mapping
from typing import Any

import orjson

from providers.calls import Delta, Spent
from streams.web.messages import shape
from streams.web.openai.answers import Sent, choices, own
from streams.web.problems import Problem

_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}


def message(result: Mapping[str, Any], model: str) -> dict[str, Any]:
    """A whole message."""
    (choice,) = choices(result)
    return {
        "id": result["id"],
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": _content(choice),
        "stop_reason": _reason(choice),
        "stop_sequence": None,
        "usage": usage(result["usage"]),
    }


def usage(totals: Mapping[str, Any]) -> dict[str, int]:
    """Tokens in their names."""
    used = own(totals)
    return _used(used, used.output_tokens)


def _used(prompt: Spent, said: int) -> dict[str, int]:
    """Theirs counts what was read from a prompt cache, and written to it, beside the input; ours within it."""
    return {
        "input_tokens": prompt.input_tokens - prompt.cached_tokens - prompt.cache_write_tokens,
        "output_tokens": said,
        "cache_read_input_tokens": prompt.cached_tokens,
        "cache_creation_input_tokens": prompt.cache_write_tokens,
    }


def _reason(choice: Mapping[str, Any]) -> str:
    return "refusal" if choice["refusal"] else _REASONS[choice["finish_reason"]]


def _content(choice: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if choice["reasoning"]:
        found.append({"type": "thinking", "thinking": choice["reasoning"], "signature": ""})
    if words := choice["content"] or choice["refusal"]:
        found.append({"type": "text", "text": words})
    for call in choice["tool_calls"]:
        asked = call["function"]
        found.append(
            {"type": "tool_use", "id": call["id"], "name": asked["name"], "input": _object(asked["arguments"])}
        )
    return found


def _object(arguments: str) -> Any:
    """Theirs is an object; a model may have written something that is none."""
    try:
        found = orjson.loads(arguments or "{}")
    except orjson.JSONDecodeError:
        return {"arguments": arguments}
    return found if isinstance(found, dict) else {"arguments": found}


class Chunks:
    """The events of one message: each block of content is begun, told in pieces, and ended before the next one."""

    def __init__(self, id_: str, model: str, prompt_tokens: int) -> None:
        self._id, self._model, self._prompt = id_, model, prompt_tokens
        self._open: tuple[str, int] | None = None
        self._index = -1

    def first(self, prompt: Spent | None) -> list[dict[str, Any]]:
        """The message, empty. How long its prompt was is a guess until its end, unless the provider has counted it by now."""
        empty: dict[str, Any] = {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
        }
        empty |= {"stop_reason": None, "stop_sequence": None}
        used = {"input_tokens": self._prompt, "output_tokens": 0} if prompt is None else _used(prompt, 0)
        return [{"type": "message_start", "message": {**empty, "usage": used}}]

    def piece(self, delta: Delta, sent: Sent) -> list[dict[str, Any]]:  # noqa: ARG002 - the other doors' chunks want it
        """As it belongs to a block."""
        made: list[dict[str, Any]] = []
        if delta.reasoning:
            empty = {"type": "thinking", "thinking": "", "signature": ""}
            made += self._told(("thinking", 0), empty, {"type": "thinking_delta", "thinking": delta.reasoning})
        for words in filter(None, (delta.text, delta.refusal)):
            made += self._told(("text", 0), {"type": "text", "text": ""}, {"type": "text_delta", "text": words})
        for index, call in delta.tool_calls:
            begun = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
            piece = {"type": "input_json_delta", "partial_json": call.arguments}
            made += self._told(("tool_use", index), begun, piece)
        return made

    def _told(self, block: tuple[str, int], empty: dict[str, Any], delta: dict[str, Any]) -> list[dict[str, Any]]:
        made: list[dict[str, Any]] = []
        if block != self._open:
            made += self._closed()
            self._open, self._index = block, self._index + 1
            made.append({"type": "content_block_start", "index": self._index, "content_block": empty})
        return [*made, {"type": "content_block_delta", "index": self._index, "delta": delta}]

    def _closed(self) -> list[dict[str, Any]]:
        if self._open is None:
            return []
        self._open = None
        return [{"type": "content_block_stop", "index": self._index}]

    def last(self, result: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Why it ended, and what it used."""
        end = {"stop_reason": _reason(choices(result)[0]), "stop_sequence": None}
        told = {"type": "message_delta", "delta": end, "usage": usage(result["usage"])}
        return [*self._closed(), told, {"type": "message_stop"}]

    def error(self, problem: Problem) -> dict[str, Any]:
        """Instead of the end."""
        return shape.error(problem.detail, problem.error.value, problem.status, self._id)

    def event(self, told: dict[str, Any]) -> bytes:
        """Each has its type as its name."""
        return b"event: %b\ndata: %b\n\n" % (told["type"].encode(), orjson.dumps(told))

    def done(self) -> bytes:
        """`message_stop` was the end."""
        return b""
