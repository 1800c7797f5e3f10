"""`/v1/chat/completions`: the body as a request of the operation `complete`.

Each of OpenAI's fields is passed on or refused by name. Taken without effect are only `store: false`, `modalities: ["text"]`,
`stream_options.include_obfuscation`, and what clients send back of an answer of ours: `annotations`, `reasoning_content`,
`audio` and `function_call` where they are empty. `metadata` stays with the request in the ledger. `safety_identifier` is
OpenAI's new name of `user`.
"""

from collections.abc import Mapping
from typing import Any

from schemas import sizes
from schemas.chat import Params
from streams.web.openai.fields import Asked, bound, bound_chat, flag, kind_of, only, said, text, wrong

_WISHES = tuple(Params.model_fields)
_SAME = ("messages", "tools", "tool_choice", "parallel_tool_calls", "n", "seed")
"""Fields that the operation has under the same name."""
FIELDS = frozenset(
    {
        *_WISHES,
        *_SAME,
        "model",
        "temperature",
        "max_tokens",
        "max_completion_tokens",
        "stop",
        "logprobs",
        "top_logprobs",
        "response_format",
        "stream",
        "stream_options",
        "store",
        "metadata",
        "modalities",
        "safety_identifier",
    }
)
_NOT_HERE: Mapping[str, str] = {
    "functions": "write them as `tools`",
    "function_call": "write it as `tool_choice`",
    "audio": "only text is answered",
    "prediction": "leave it out",
    "web_search_options": "nothing is searched here; leave it out",
    "prompt": "it belongs to /v1/completions; here it is `messages`",
    "input": "it belongs to /v1/embeddings; here it is `messages`",
    "system": "it belongs to /v1/messages; here it is a message of the role `system`",
}


def read(body: Mapping[str, Any]) -> Asked:
    """Raises `Problem` 400 that names a field."""
    for name, instead in _NOT_HERE.items():
        if body.get(name) is not None:
            raise wrong(name, f"`{name}` is not taken: {instead}.", "unsupported_parameter")
    told = only(body, FIELDS, "")
    model = text(told, "model")
    stream, usage = streaming(told)
    if stream and told.get("n") not in (None, 1):
        raise wrong("n", "`n` above 1 does not go with `stream`; ask without it, or several times.")
    bound(told.get("tools"), sizes.MOST_TOOLS, "tools", "tools")
    input_ = {name: told[name] for name in _SAME if name in told}
    if "messages" not in input_:
        raise wrong("messages", "`messages` is missing; send a list of turns.", "missing_required_parameter")
    input_["messages"] = _turns(input_["messages"])
    input_ |= wishes(told) | _logprobs(told) | _format(told.get("response_format"))
    input_ |= {"repair": False, "whole": True}
    return Asked(model, {"input": input_, **envelope(told)}, stream, usage)


def streaming(told: Mapping[str, Any]) -> tuple[bool, bool]:
    """Whether chunks are wanted, and the usage in a last one."""
    stream = flag(told, "stream")
    if "stream_options" not in told:
        return stream, False
    if not stream:
        raise wrong("stream_options", "`stream_options` needs `stream: true`.")
    options = only(told["stream_options"], {"include_usage", "include_obfuscation"}, "stream_options")
    return True, flag(options, "include_usage")


def envelope(told: Mapping[str, Any]) -> dict[str, Any]:
    """Options and metadata."""
    if told.get("store") not in (None, False):
        raise wrong(
            "store", "`store` is not done here; ask for the request again under its id.", "unsupported_parameter"
        )
    if told.get("modalities") not in (None, ["text"]):
        raise wrong("modalities", '`modalities` can only be ["text"].', "unsupported_parameter")
    limits = [name for name in ("max_tokens", "max_completion_tokens") if name in told]
    if len({told[name] for name in limits if isinstance(told[name], int)}) > 1:
        raise wrong("max_tokens", "`max_tokens` and `max_completion_tokens` say different things; send one.")
    options = {"temperature": told.get("temperature"), "max_tokens": told[limits[0]] if limits else None}
    bound(told.get("metadata"), sizes.MOST_METADATA, "metadata", "keys")
    found: dict[str, Any] = {"options": said(options)}
    return found | ({"metadata": told["metadata"]} if "metadata" in told else {})


def wishes(told: Mapping[str, Any]) -> dict[str, Any]:
    """What is passed on under OpenAI's own names, and where to stop."""
    bound(told.get("logit_bias"), sizes.MOST_BIASES, "logit_bias", "keys")
    params = {name: told[name] for name in _WISHES if name in told}
    who = told.get("safety_identifier", params.get("user"))
    if who is not None and params.setdefault("user", who) != who:
        raise wrong("safety_identifier", "`safety_identifier` and `user` say different things; send one.")
    stop = told.get("stop")
    found = {} if stop is None else {"stop": [stop] if isinstance(stop, str) else stop}
    return found | ({"params": params} if params else {})


def _logprobs(told: Mapping[str, Any]) -> dict[str, Any]:
    if not flag(told, "logprobs"):
        if "top_logprobs" in told:
            raise wrong("top_logprobs", "`top_logprobs` needs `logprobs: true`.")
        return {}
    return {"logprobs": told.get("top_logprobs", 0)}


def _format(asked: Any) -> dict[str, Any]:
    if asked is None:
        return {}
    kind = kind_of(asked)
    if kind in ("text", "json_object"):
        only(asked, {"type"}, "response_format")
        return {"json_object": True} if kind == "json_object" else {}
    if kind != "json_schema":
        raise wrong("response_format", "`response_format.type` is one of text, json_object, json_schema.")
    where = "response_format.json_schema"
    inner = only(only(asked, {"type", "json_schema"}, "response_format").get("json_schema"), _SCHEMA, where)
    schema = inner.get("schema")
    if not isinstance(schema, dict):
        raise wrong(f"{where}.schema", f"`{where}.schema` is missing; send a JSON Schema.")
    if not isinstance(inner.get("description", ""), str):
        raise wrong(f"{where}.description", f"`{where}.description` must be a text.")
    return {"output_schema": ({"description": inner["description"]} if "description" in inner else {}) | schema}


_SCHEMA = frozenset({"name", "schema", "strict", "description"})
"""The name is for OpenAI's logs. What is not `strict` there is so here: the answer fits all the more."""

_EMPTY = ("audio", "function_call", "annotations")
_TURN = frozenset({"role", "content", "name", "tool_calls", "tool_call_id", "refusal", "reasoning_content", *_EMPTY})
_PARTS = {"text": {"type", "text"}, "image_url": {"type", "image_url"}, "refusal": {"type", "refusal"}}


def _turns(messages: Any) -> list[Any]:
    if not isinstance(messages, list) or not messages:
        raise wrong("messages", "`messages` must be a list of at least one turn.")
    bound_chat(messages, "messages")
    return [_turn(turn, f"messages[{i}]") for i, turn in enumerate(messages)]


def _turn(turn: Any, where: str) -> dict[str, Any]:
    found = only(turn, _TURN, where)
    for name in _EMPTY:
        if found.pop(name, None):
            raise wrong(f"{where}.{name}", f"`{where}.{name}` is not taken; leave it out.", "unsupported_parameter")
    found.pop("reasoning_content", None)
    refusal = found.pop("refusal", None)
    if refusal is not None and not found.get("content"):
        found["content"] = refusal
    if isinstance(found.get("content"), list):
        found["content"] = [_part(part, f"{where}.content[{i}]") for i, part in enumerate(found["content"])]
    calls = found.get("tool_calls")
    if isinstance(calls, list):
        if not calls:
            del found["tool_calls"]
        for i, call in enumerate(calls):
            _call(call, f"{where}.tool_calls[{i}]")
    return found


def _part(part: Any, where: str) -> Any:
    kind = kind_of(part)
    if kind not in _PARTS:
        raise wrong(
            f"{where}.type", f"`{where}.type` is {kind!r:.100}; taken are text and image_url.", "unsupported_parameter"
        )
    found = only(part, _PARTS[kind], where)
    if kind == "image_url" and isinstance(found.get("image_url"), dict):
        only(found["image_url"], {"url", "detail"}, f"{where}.image_url")
    return {"type": "text", "text": found.get("refusal")} if kind == "refusal" else found


def _call(call: Any, where: str) -> None:
    found = only(call, {"id", "type", "function", "index"}, where)
    if found.get("type", "function") != "function":
        raise wrong(f"{where}.type", f"`{where}.type` can only be function.", "unsupported_parameter")
    only(found.get("function"), {"name", "arguments"}, f"{where}.function")
