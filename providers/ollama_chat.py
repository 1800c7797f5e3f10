"""Ollama's `/api/chat` as pure functions: what a call looks like, what its answer means, whole or line by line.

Fields as in Ollama's `api/types.go` and its OpenAPI document: `tools`, `tool_calls` (arguments are an object there, a string
here), `thinking`, `logprobs` and `top_logprobs` (0.12.11 or later), `images` in base64.
"""

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any, Literal

import orjson

from providers.calls import ChatAnswer, ChatCall, Delta, Image, Message, Tool, ToolCall
from providers.errors import Rejected, ServerError, Unreadable, Unsupported
from providers.ollama_wire import REFUSED_WITH_500, dump, keep, read_object, spent

PARAMS = ("top_p", "top_k", "min_p", "frequency_penalty", "presence_penalty")
"""Those of `schemas.chat.Params` that Ollama has under the same names, among its `options`."""

THINKING = "reasoning_effort"
_THINK: Mapping[str, bool | str] = {"none": False, "low": "low", "medium": "medium", "high": "high"}


def chat_body(call: ChatCall, num_ctx: int, keep_alive: str, images: Mapping[str, str]) -> bytes:
    """Streamed only for whoever reads along or wants to be told how far it is; cancelling closes the connection either way.

    `images`: those of the call, by their URL, in base64. `truncate` and `shift` false make an Ollama that knows them (0.12.6
    or later) refuse a prompt above `num_ctx`; an older one ignores both and silently drops the oldest messages, so the length
    is estimated beforehand too. Raises Rejected for what JSON cannot carry.
    """
    wishes = {
        "temperature": call.temperature,
        "num_predict": call.max_tokens,
        "stop": list(call.stop) or None,
        "seed": call.seed,
    } | {name: call.params.get(name) for name in PARAMS}
    body: dict[str, Any] = {
        "model": call.model,
        "messages": [_turn(message, call.messages, images) for message in call.messages],
        "stream": is_streamed(call),
        "truncate": False,
        "shift": False,
        "keep_alive": keep(keep_alive),
        "options": {"num_ctx": num_ctx} | {name: wish for name, wish in wishes.items() if wish is not None},
    }
    return dump(body | _further(call))


def _further(call: ChatCall) -> dict[str, Any]:
    """Only what was wished for. Without a choice of tools on Ollama's side, none are offered where none may be called."""
    further: dict[str, Any] = {}
    if call.schema is not None:
        further["format"] = call.schema
    elif call.json_mode:
        further["format"] = "json"
    if call.tools and call.tool_choice != "none":
        further["tools"] = [_tool(tool) for tool in call.tools]
    if call.logprobs is not None:
        further |= {"logprobs": True, "top_logprobs": call.logprobs}
    if THINKING in call.params:
        further["think"] = _THINK[call.params[THINKING]]
    return further


def refuse(call: ChatCall) -> None:
    """Raises Unsupported for what Ollama has no word for, whatever the model."""
    asked = {
        "tool_choice": call.tool_choice not in {None, "auto", "none"},
        "parallel_tool_calls": call.parallel_tool_calls is False and call.tools != (),
        "strict": any(tool.strict for tool in call.tools),
        "detail": any(isinstance(part, Image) and part.detail in {"low", "high"} for part in parts(call)),
        "name": any(message.name is not None and message.role != "tool" for message in call.messages),
        THINKING: call.params.get(THINKING, "none") not in _THINK,
    }
    fields = [name for name, is_asked in asked.items() if is_asked]
    if fields:
        named = ", ".join(f"`{name}`" for name in fields)
        hint = f" `{THINKING}` here is {', '.join(_THINK)}." if THINKING in fields else ""
        raise Unsupported(f"Ollama has nothing for {named} as it is given. Leave it out.{hint}", {"fields": fields})


def parts(call: ChatCall) -> list[str | Image]:
    return [part for message in call.messages for part in message.parts]


def is_streamed(call: ChatCall) -> bool:
    return call.on_tokens is not None or call.on_delta is not None


def _turn(message: Message, chat: tuple[Message, ...], images: Mapping[str, str]) -> dict[str, Any]:
    turn: dict[str, Any] = {"role": message.role, "content": message.content}
    if seen := [images[part.url] for part in message.parts if isinstance(part, Image)]:
        turn["images"] = seen
    if message.tool_calls:
        turn["tool_calls"] = [_called(index, call) for index, call in enumerate(message.tool_calls)]
    if message.tool_call_id is not None:
        turn |= {"tool_call_id": message.tool_call_id, "tool_name": message.name or _name_of(message, chat)}
    return turn


def _called(index: int, call: ToolCall) -> dict[str, Any]:
    try:
        arguments = orjson.loads(call.arguments or "{}")
    except orjson.JSONDecodeError:
        arguments = None
    if not isinstance(arguments, dict):
        raise Rejected(f"The arguments of the tool call `{call.id}` are no JSON object; Ollama takes nothing else.")
    return {"id": call.id, "function": {"index": index, "name": call.name, "arguments": arguments}}


def _name_of(message: Message, chat: tuple[Message, ...]) -> str:
    calls = {call.id: call.name for turn in chat for call in turn.tool_calls}
    return calls.get(message.tool_call_id or "", "")


def _tool(tool: Tool) -> dict[str, Any]:
    schema = tool.parameters or {"type": "object", "properties": {}}
    return {"type": "function", "function": {"name": tool.name, "description": tool.description, "parameters": schema}}


def read_chat(body: bytes) -> ChatAnswer:
    """Raises Unreadable, and ServerError for a failure that came too late for a status of its own."""
    reply = read_object(body)
    if "error" in reply:
        raise ServerError(f"Ollama says: {reply['error']}", spent=spent(reply))
    return _answer([reply])


def read_stream(body: bytes) -> ChatAnswer:
    """A streamed answer: one JSON a line, the text in pieces, the counters in the last one. Raises what `read_chat` raises.

    Ollama before 0.12 has begun the answer when it refuses a call's form: that error is its first line.
    """
    lines = _lines(body)
    last = lines[-1] if lines else {}
    if "error" in last and len(lines) == 1 and any(sign in str(last["error"]) for sign in REFUSED_WITH_500):
        raise Rejected(f"Ollama says: {last['error']}")
    if "error" in last:
        raise ServerError(f"Ollama says: {last['error']}")
    return _answer(lines)


def _answer(lines: list[dict[str, Any]]) -> ChatAnswer:
    last = lines[-1] if lines else {}
    try:
        pieces = [_piece(line) for line in lines]
    except (TypeError, ValueError, KeyError, AttributeError):
        pieces = []
    if last.get("done") is not True or not pieces:
        raise Unreadable("Ollama's answer holds no whole message.", spent=spent(last))
    calls = tuple(call for _, _, told, _ in pieces for call in told)
    logprobs = tuple(each for *_, told in pieces for each in told)
    return ChatAnswer(
        "".join(text for text, *_ in pieces),
        _finish(last, has_calls=bool(calls)),
        spent(last),
        tool_calls=calls,
        reasoning="".join(thinking for _, thinking, *_ in pieces) or None,
        logprobs=logprobs or None,
    )


class Reader:
    """Told the bytes of a streamed answer as they come, tells on what each whole line of them brings.

    A line that is none is left out: whether the answer is one at all, `read_stream` says in the end.
    """

    def __init__(self, told: Callable[[Delta], None]) -> None:
        self._told = told
        self._rest = b""
        self._calls = 0

    def __call__(self, piece: bytes) -> None:
        *whole, self._rest = (self._rest + piece).split(b"\n")
        for line in whole:
            self._read(line)

    def _read(self, line: bytes) -> None:
        try:
            text, thinking, calls, logprobs = _piece(orjson.loads(line))
        except (orjson.JSONDecodeError, TypeError, ValueError, KeyError, AttributeError):
            return
        numbered = tuple(enumerate(calls, self._calls))
        self._calls += len(calls)
        if text or thinking or numbered or logprobs:
            self._told(Delta(text, thinking, tool_calls=numbered, logprobs=logprobs))


_Piece = tuple[str, str, tuple[ToolCall, ...], tuple[dict[str, Any], ...]]


def _piece(line: dict[str, Any]) -> _Piece:
    """Text, thinking, tool calls and log probabilities of one line. Raises TypeError, ValueError, KeyError, AttributeError."""
    message = line["message"]
    text, thinking = message.get("content", ""), message.get("thinking") or ""
    if not isinstance(text, str) or not isinstance(thinking, str):
        raise TypeError
    calls = tuple(_call(told, line.get("created_at")) for told in message.get("tool_calls") or ())
    return text, thinking, calls, tuple(map(_logprob, line.get("logprobs") or ()))


def _call(told: dict[str, Any], at: Any) -> ToolCall:
    """Older ones give no id: it is made of what was said and when, so that a stream and its whole give the same one."""
    function = told["function"]
    arguments = function.get("arguments")
    if not isinstance(function["name"], str):
        raise TypeError
    packed = orjson.dumps({} if arguments is None else arguments)
    made = f"call_{blake2b(packed + str((at, function)).encode(errors='replace'), digest_size=12).hexdigest()}"
    return ToolCall(str(told.get("id") or made), function["name"], packed.decode())


def _logprob(told: dict[str, Any]) -> dict[str, Any]:
    """In OpenAI's shape, in which `bytes` and `top_logprobs` are always there."""
    return _likely(told) | {"top_logprobs": [_likely(each) for each in told.get("top_logprobs") or ()]}


def _likely(told: dict[str, Any]) -> dict[str, Any]:
    token = str(told["token"])
    return {"token": token, "logprob": float(told["logprob"]), "bytes": told.get("bytes") or list(token.encode())}


def _lines(body: bytes) -> list[dict[str, Any]]:
    """All lines in one parse, which takes a third of the time; one by one where that fails, to say which one is wrong."""
    try:
        found = orjson.loads(b"[" + body.strip().replace(b"\n", b",") + b"]")
    except orjson.JSONDecodeError:
        found = None
    if isinstance(found, list) and all(isinstance(line, dict) for line in found):
        return found
    return [read_object(line) for line in body.split(b"\n") if line.strip()]


def _finish(last: dict[str, Any], *, has_calls: bool) -> Literal["stop", "length", "tool_calls"]:
    if last.get("done_reason") == "length":
        return "length"
    return "tool_calls" if has_calls else "stop"
