"""OpenAI's wire format as pure functions: what a call looks like, and what a whole answer means.

Streams are read by `providers.openai_stream`, refusals by `providers.openai_errors`. Servers that call themselves compatible differ
in small things; what is said here of one of them by name was read in its documentation or its source.
"""

import base64
import binascii
import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal

import orjson

from providers import counted, openai_schema, tokens
from providers.calls import ChatAnswer, ChatCall, EmbedAnswer, EmbedCall, Forced, Message, Spent, Tool, ToolCall
from providers.errors import Rejected, ServerError, Unreadable

_UNIT = 1e-4
"""How far from 1 a vector's length may be before it is made 1."""

_PER_MESSAGE = 4
"""Tokens around each message, about; where a server does not count."""

Finish = Literal["stop", "length", "tool_calls", "content_filter"]

_FINISHES: dict[str, Finish] = {
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",  # Mistral
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}
_FAILED = ("error", "abort", "insufficient_system_resource")
"""Ends that are none: OpenRouter's, vLLM's and DeepSeek's words for an answer that broke off."""


def chat_body(
    call: ChatCall, *, streamed: bool, max_name: str, counts_streams: bool = True, model: bool = True
) -> bytes:
    """`max_name`: `max_completion_tokens` or its old name. `counts_streams`: the server knows `stream_options`.
    `model`: name it; Azure has it in the path. Raises Rejected for what JSON cannot carry.
    """
    wishes: dict[str, Any] = {
        "model": call.model if model else None,
        "messages": [_message(message) for message in call.messages],
        "temperature": call.temperature,
        max_name: call.max_tokens,
        "stop": list(call.stop) or None,
        "seed": call.seed,
        "response_format": _format(call),
        "tools": [_tool(tool) for tool in call.tools] or None,
        "tool_choice": _choice(call),
        "parallel_tool_calls": call.parallel_tool_calls if call.tools else None,
        "logprobs": None if call.logprobs is None else True,
        "top_logprobs": call.logprobs or None,
        "stream": True if streamed else None,
        "stream_options": {"include_usage": True} if streamed and counts_streams else None,
    }
    return _dump({name: wish for name, wish in wishes.items() if wish is not None} | dict(call.params))


def _format(call: ChatCall) -> dict[str, Any] | None:
    if call.schema is not None:
        schema, strict = openai_schema.strict(call.schema)
        return {"type": "json_schema", "json_schema": {"name": "answer", "strict": strict, "schema": schema}}
    return {"type": "json_object"} if call.json_mode else None


def _message(message: Message) -> dict[str, Any]:
    told: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.pictured():
        told["content"] = [_part(part) for part in message.parts]
    if message.tool_calls:
        told["content"] = told["content"] or None
        told["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    more = {"tool_call_id": message.tool_call_id, "name": message.name}
    return told | {name: value for name, value in more.items() if value is not None}


def _part(part: Any) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    detail = {} if part.detail is None else {"detail": part.detail}
    return {"type": "image_url", "image_url": {"url": part.url, **detail}}


def _tool(tool: Tool) -> dict[str, Any]:
    told: dict[str, Any] = {"name": tool.name}
    more = {"description": tool.description or None, "parameters": tool.parameters, "strict": tool.strict}
    return {"type": "function", "function": told | {name: value for name, value in more.items() if value is not None}}


def _choice(call: ChatCall) -> Any:
    if isinstance(call.tool_choice, Forced):
        return {"type": "function", "function": {"name": call.tool_choice.name}}
    return call.tool_choice if call.tools else None


def embed_body(call: EmbedCall, *, packed: bool, model: bool = True) -> bytes:
    """`packed`: vectors as base64 of 32-bit floats, a third of their size; not every server knows that."""
    wishes = {
        "model": call.model if model else None,
        "input": list(call.texts),
        "dimensions": call.dimensions,
        "encoding_format": "base64" if packed else None,
    }
    return _dump({name: wish for name, wish in wishes.items() if wish is not None})


def _dump(body: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError as error:  # a lone surrogate, or an integer above 64 bits in a schema
        raise Rejected(f"The call cannot be written as JSON: {error}.") from None


def read_chat(body: bytes, call: ChatCall, who: str) -> ChatAnswer:
    """A whole answer. Raises Unreadable, and ServerError for a failure that came with status 200."""
    reply = whole_object(body, who)
    choice = _first_choice(reply, who)
    message = choice.get("message")
    if not isinstance(message, dict):
        raise Unreadable(f"{who} gave an answer without a message.", spent=known_spent(reply))
    text, thought = texts(message)
    calls = tuple(_called(each, number) for number, each in enumerate(message.get("tool_calls") or ()))
    answer = ChatAnswer(
        text,
        finish(choice.get("finish_reason"), who, known_spent(reply)),
        Spent(),
        tool_calls=calls,
        refusal=message.get("refusal") or None,
        reasoning=thought or None,
        logprobs=entries([choice.get("logprobs")]),
        model=model_of(reply, call),
    )
    return replace(answer, spent=known_spent(reply) or guessed(call, answer))


def whole_object(body: bytes, who: str) -> dict[str, Any]:
    """The answer's JSON object. Raises Unreadable."""
    try:
        reply = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Unreadable(f"{who} answered what is not JSON ({error}): {quoted(body)}") from None
    if not isinstance(reply, dict):
        raise Unreadable(f"{who} answered what is not a JSON object: {quoted(body)}")
    if reply.get("error"):
        raise ServerError(f"{who} says: {said(reply['error'])}", spent=known_spent(reply))
    return reply


def _first_choice(reply: dict[str, Any], who: str) -> dict[str, Any]:
    choices = reply.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise Unreadable(f"{who} gave an answer without a choice.", spent=known_spent(reply))
    choice: dict[str, Any] = choices[0]
    return choice


def said(error: Any) -> str:
    """An error's words, whether it is an object or a text."""
    words = error.get("message") if isinstance(error, dict) else error
    return str(words or error)[:500]


def texts(message: dict[str, Any]) -> tuple[str, str]:
    """What it says and what it thought. Mistral's thinking models give parts; others `reasoning_content` or `reasoning`."""
    content = message.get("content")
    thought = message.get("reasoning_content") or message.get("reasoning") or ""
    if isinstance(content, list):
        parts = [part for part in content if isinstance(part, dict)]
        thought = "".join(_thoughts(parts)) or thought
        content = "".join(str(part.get("text") or "") for part in parts if part.get("type") == "text")
    return content if isinstance(content, str) else "", thought if isinstance(thought, str) else ""


def _thoughts(parts: list[dict[str, Any]]) -> Iterable[str]:
    for part in parts:
        if part.get("type") == "thinking":
            inner = part.get("thinking")
            yield "".join(str(each.get("text") or "") for each in inner) if isinstance(inner, list) else str(inner)


def _called(told: Any, number: int) -> ToolCall:
    function = told.get("function") if isinstance(told, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise Unreadable("The model asked for a tool without naming one.")
    arguments = function.get("arguments")
    if not isinstance(arguments, str):  # some servers give the object itself
        arguments = "{}" if arguments is None else orjson.dumps(arguments).decode()
    return ToolCall(str(told.get("id") or f"call_{number + 1}"), function["name"], arguments)


def finish(reason: Any, who: str, spent: Spent | None) -> Finish:
    """Raises Unreadable where there is none: the answer is not whole."""
    if not isinstance(reason, str):
        raise Unreadable(f"{who} gave an answer without its end.", spent=spent)
    if reason in _FAILED:
        raise ServerError(f"{who} broke its answer off: {reason}.", spent=spent)
    return _FINISHES.get(reason, "stop")


def entries(told: Sequence[Any]) -> tuple[dict[str, Any], ...] | None:
    """The log probabilities of `choices[].logprobs`, of one or of many pieces; None: there are none."""
    lists = [each["content"] for each in told if isinstance(each, dict) and isinstance(each.get("content"), list)]
    return tuple(entry for entries in lists for entry in entries) if lists else None


def model_of(reply: dict[str, Any], call: ChatCall) -> str | None:
    """The model that answered, where that is another name than was asked for."""
    model = reply.get("model")
    return model if isinstance(model, str) and model and model != call.model else None


def known_spent(reply: dict[str, Any]) -> Spent | None:
    """What the server counted; None: it did not count, or what cannot be. Groq's streams have it under `x_groq`.

    xAI counts what was thought beside `completion_tokens`, which the total shows. llama.cpp tells how long its node worked.
    """
    usage = reply.get("usage") or _inside(reply, "x_groq").get("usage")
    if not isinstance(usage, dict):
        return None
    prompt, output = counted.count(usage.get("prompt_tokens")), counted.total(usage.get("completion_tokens"))
    if prompt is None or output is None:
        return None
    into, out = _inside(usage, "prompt_tokens_details"), _inside(usage, "completion_tokens_details")
    thought = _count(out, "reasoning_tokens")
    if thought and _count(usage, "total_tokens") == prompt + output + thought:
        output += thought
    tier = reply.get("service_tier")
    return Spent(
        input_tokens=prompt,
        output_tokens=output,
        cached_tokens=_count(into, "cached_tokens") or _count(usage, "prompt_cache_hit_tokens"),  # DeepSeek's
        cache_write_tokens=_count(into, "cache_write_tokens"),
        reasoning_tokens=thought,
        tier=tier if isinstance(tier, str) else "",
        gpu_seconds=_worked(_inside(reply, "timings")),
    )


def _inside(value: dict[str, Any], name: str) -> dict[str, Any]:
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def _count(usage: dict[str, Any], name: str) -> int:
    return counted.count(usage.get(name)) or 0


def _worked(timings: dict[str, Any]) -> float | None:
    told = [timings.get(name) for name in ("prompt_ms", "predicted_ms")]
    known = [each for each in told if isinstance(each, int | float) and 0 <= each < _LONGEST_MS]
    return sum(known) / 1000 if known else None


_LONGEST_MS = 86_400_000
"""No call takes a day."""


def guessed(call: ChatCall, answer: ChatAnswer) -> Spent:
    """Where a server does not count: about what its tokens were."""
    prompt = sum(tokens.estimate(message.content) + _PER_MESSAGE for message in call.messages)
    made = answer.text + (answer.reasoning or "") + "".join(each.name + each.arguments for each in answer.tool_calls)
    return Spent(prompt, tokens.estimate(made), estimated=True)


def read_embed(body: bytes, call: EmbedCall, who: str) -> EmbedAnswer:
    """Raises Unreadable, also for a vector that has no direction or another length than its neighbours."""
    reply = whole_object(body, who)
    spent = known_spent(reply) or Spent(sum(map(tokens.estimate, call.texts)), estimated=True)
    try:
        found = sorted(reply["data"], key=lambda each: int(each["index"]))
        units = tuple(_unit(_vector(each["embedding"])) for each in found)
    except (KeyError, TypeError, ValueError, struct.error, binascii.Error):
        raise Unreadable(f"{who} gave a vector that is none.", spent=spent) from None
    if len(units) != len(call.texts):
        raise Unreadable(f"{who} gave {len(units)} vectors for {len(call.texts)} texts.", spent=spent)
    if len({len(unit) for unit in units}) > 1:
        raise Unreadable(f"{who} gave vectors of different dimensions.", spent=spent)
    return EmbedAnswer(units, spent)


def _vector(told: Any) -> Sequence[float]:
    if isinstance(told, str):
        packed = base64.b64decode(told, validate=True)
        return struct.unpack(f"<{len(packed) // 4}f", packed)
    return [float(each) for each in told]


def _unit(vector: Sequence[float]) -> tuple[float, ...]:
    length = math.hypot(*vector)
    if not 0 < length < math.inf:
        raise ValueError(length)
    if abs(length - 1) < _UNIT:
        return tuple(vector)
    return tuple(each / length for each in vector)


def read_models(body: bytes) -> tuple[dict[str, Any], ...]:
    """The entries of `GET /models` that have a name; Together gives a bare list."""
    try:
        told = orjson.loads(body)
        found = told if isinstance(told, list) else told["data"]
        return tuple(each for each in found if isinstance(each, dict) and isinstance(each.get("id"), str))
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return ()


def quoted(body: bytes) -> str:
    """The beginning of an answer that was not understood."""
    return repr(body[:200].decode(errors="replace").strip()) + ("…" if len(body) > 200 else "") + "."
