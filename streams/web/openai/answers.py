"""Results as OpenAI's answers and chunks. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from providers.calls import Delta, Spent, ToolCall
from streams.web.openai import shape
from streams.web.problems import Problem

SYSTEM_FINGERPRINT = None
"""What it would stand for, weights and settings of a server, the providers do not say."""


def chat(result: Mapping[str, Any], model: str, created: int) -> dict[str, Any]:
    """A `chat.completion`."""
    return {
        "id": result["id"],
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [_choice(i, choice) for i, choice in enumerate(choices(result))],
        "usage": usage(result["usage"]),
        "system_fingerprint": SYSTEM_FINGERPRINT,
    }


def choices(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One or `n`."""
    output: dict[str, Any] = result["output"]
    return output.get("choices") or [output]


def _choice(index: int, choice: Mapping[str, Any]) -> dict[str, Any]:
    calls = choice["tool_calls"]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": choice["content"] or (None if calls or choice["refusal"] else ""),
        "refusal": choice["refusal"],
    }
    if calls:
        message["tool_calls"] = calls
    if choice["reasoning"]:
        message["reasoning_content"] = choice["reasoning"]
    return {
        "index": index,
        "message": message,
        "logprobs": _logprobs(choice["logprobs"]),
        "finish_reason": choice["finish_reason"],
    }


def _logprobs(found: Sequence[Any] | None) -> dict[str, Any] | None:
    return None if found is None else {"content": list(found), "refusal": None}


_COUNTED = ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")


def own(totals: Mapping[str, Any]) -> Spent:
    """The answer's own tokens: what calls used that were lost is in the costs, and no part of what was answered."""
    lost = totals.get("wasted") or {}
    return Spent(**{name: totals.get(name, 0) - lost.get(name, 0) for name in _COUNTED})


def usage(totals: Mapping[str, Any]) -> dict[str, Any]:
    """Tokens in OpenAI's names."""
    used = own(totals)
    return {
        "prompt_tokens": used.input_tokens,
        "completion_tokens": used.output_tokens,
        "total_tokens": used.input_tokens + used.output_tokens,
        "prompt_tokens_details": {"cached_tokens": used.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": used.reasoning_tokens, "audio_tokens": 0},
    }


def text(results: Sequence[Mapping[str, Any]], id_: str, model: str, created: int) -> dict[str, Any]:
    """A `text_completion` of one result per prompt."""
    found = [choice for result in results for choice in choices(result)]
    counts = [usage(result["usage"]) for result in results]
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    return {
        "id": id_,
        "object": "text_completion",
        "created": created,
        "model": model,
        "choices": [text_choice(i, c["content"], c["finish_reason"], c["logprobs"]) for i, c in enumerate(found)],
        "usage": {name: sum(count[name] for count in counts) for name in names},
        "system_fingerprint": SYSTEM_FINGERPRINT,
    }


def text_choice(
    index: int, words: str, finish: str | None, logprobs: Sequence[Any] | None = None, *, start: int = 0
) -> dict[str, Any]:
    """`start`: how many characters stand before."""
    told = None if logprobs is None else _old_logprobs(logprobs, start)
    return {"index": index, "text": words, "logprobs": told, "finish_reason": finish}


def _old_logprobs(found: Sequence[Any], start: int) -> dict[str, Any]:
    """The old path's four lists out of one entry a token."""
    offsets = []
    for entry in found:
        offsets.append(start)
        start += len(entry["token"])
    return {
        "tokens": [entry["token"] for entry in found],
        "token_logprobs": [entry["logprob"] for entry in found],
        "top_logprobs": [{top["token"]: top["logprob"] for top in entry.get("top_logprobs", ())} for entry in found],
        "text_offset": offsets,
    }


@dataclass(slots=True)
class Sent:
    """What a caller who reads along has been told."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    calls: dict[int, ToolCall] = field(default_factory=dict)
    logprobs: int = 0

    def add(self, delta: Delta) -> None:
        """One more piece."""
        self.text += delta.text
        self.reasoning += delta.reasoning
        self.refusal += delta.refusal
        self.logprobs += len(delta.logprobs)
        for index, call in delta.tool_calls:
            had = self.calls.get(index)
            arguments = call.arguments if had is None else had.arguments + call.arguments
            self.calls[index] = ToolCall(
                call.id or (had.id if had else ""), call.name or (had.name if had else ""), arguments
            )

    def rest(self, choice: Mapping[str, Any]) -> Delta | None:
        """What is missing of the answer; None: it is another one than was told."""
        words = [
            _behind(choice[name] or "", self_) for name, self_ in (("content", self.text), ("refusal", self.refusal))
        ]
        thoughts = _behind(choice["reasoning"] or "", self.reasoning)
        calls = self._calls(choice["tool_calls"])
        if None in words or calls is None or len(choice["tool_calls"]) < len(self.calls):
            return None
        logprobs = tuple((choice["logprobs"] or ())[self.logprobs :])
        return Delta(words[0] or "", thoughts or "", words[1] or "", calls, logprobs)

    def _calls(self, made: Sequence[Mapping[str, Any]]) -> tuple[tuple[int, ToolCall], ...] | None:
        missing: list[tuple[int, ToolCall]] = []
        for index, call in enumerate(made):
            had, asked = self.calls.get(index), call["function"]
            if had is None:
                missing.append((index, ToolCall(call["id"], asked["name"], asked["arguments"])))
                continue
            behind = _behind(asked["arguments"], had.arguments)
            if behind is None:
                return None
            if behind:
                missing.append((index, ToolCall("", "", behind)))
        return tuple(missing)


def _behind(whole: str, told: str) -> str | None:
    return whole[len(told) :] if whole.startswith(told) else None


@dataclass(frozen=True, slots=True)
class _Chunks:
    """What every chunk says, and how it stands on the wire."""

    id: str
    model: str
    created: int
    usage: bool

    def error(self, problem: Problem) -> dict[str, Any]:
        """Instead of the end."""
        return {"error": shape.error(problem.detail, problem.error.value, problem.status, problem.more)}

    def event(self, told: dict[str, Any]) -> bytes:
        """Without a name."""
        return b"data: %b\n\n" % orjson.dumps(told)

    def done(self) -> bytes:
        """Clients stop reading there."""
        return b"data: [DONE]\n\n"


class ChatChunks(_Chunks):
    """The chunks of one chat."""

    def first(self, prompt: Spent | None) -> list[dict[str, Any]]:  # noqa: ARG002 - Anthropic's door tells it
        """Whose words these are."""
        return [self._chunk({"role": "assistant", "content": "", "refusal": None})]

    def piece(self, delta: Delta, sent: Sent) -> list[dict[str, Any]]:
        """One piece; `sent` is what was told before it."""
        told: dict[str, Any] = {}
        if delta.text:
            told["content"] = delta.text
        if delta.reasoning:
            told["reasoning_content"] = delta.reasoning
        if delta.refusal:
            told["refusal"] = delta.refusal
        if delta.tool_calls:
            told["tool_calls"] = [_call_piece(index, call, index in sent.calls) for index, call in delta.tool_calls]
        return [self._chunk(told, logprobs=_logprobs(delta.logprobs or None))]

    def last(self, result: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Why it ended, and its usage where that is wished for."""
        made = [self._chunk({}, finish=choices(result)[0]["finish_reason"])]
        if self.usage:
            made.append({**self._chunk({}), "choices": [], "usage": usage(result["usage"])})
        return made

    def _chunk(self, delta: dict[str, Any], finish: str | None = None, logprobs: Any = None) -> dict[str, Any]:
        chunk: dict[str, Any] = {
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "system_fingerprint": SYSTEM_FINGERPRINT,
            "choices": [{"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}],
        }
        return chunk | ({"usage": None} if self.usage else {})


def _call_piece(index: int, call: ToolCall, known: bool) -> dict[str, Any]:
    """The first piece of a call says what it is."""
    if known:
        return {"index": index, "function": {"arguments": call.arguments}}
    return {
        "index": index,
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }


class TextChunks(_Chunks):
    """The chunks of the old path."""

    def first(self, prompt: Spent | None) -> list[dict[str, Any]]:  # noqa: ARG002 - as above
        """Nobody is named there."""
        return []

    def piece(self, delta: Delta, sent: Sent) -> list[dict[str, Any]]:
        """As `ChatChunks.piece`."""
        return [self._chunk([text_choice(0, delta.text, None, delta.logprobs or None, start=len(sent.text))])]

    def last(self, result: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Why it ended, and its usage where that is wished for."""
        made = [self._chunk([text_choice(0, "", choices(result)[0]["finish_reason"])])]
        return [*made, self._chunk([]) | {"usage": usage(result["usage"])}] if self.usage else made

    def _chunk(self, found: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "text_completion",
            "created": self.created,
            "model": self.model,
            "system_fingerprint": SYSTEM_FINGERPRINT,
            "choices": found,
        } | ({"usage": None} if self.usage else {})
