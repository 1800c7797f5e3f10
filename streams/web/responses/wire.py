"""`/v1/responses`: the body as a request of the operation `complete`.

Each field is passed on or refused by name. Taken without effect are only `stream_options.include_obfuscation`, and
`reasoning.summary: "auto"`: what a provider tells of a model's thoughts is told. What an answer's own shape must say again and
nothing else in the record does stands in the record's `response`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from schemas import sizes
from store.ledger.types.arrivals import RESUMABLE, Kept
from streams.web.openai import chat
from streams.web.openai.fields import Asked, bound, flag, kind_of, only, text, wrong
from streams.web.responses import items
from streams.web.responses.items import Turn

_SAME = ("temperature", "top_p", "service_tier", "prompt_cache_key", "user", "safety_identifier")
FIELDS = frozenset(
    {
        *_SAME,
        "model",
        "input",
        "instructions",
        "previous_response_id",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "text",
        "reasoning",
        "max_output_tokens",
        "top_logprobs",
        "include",
        "truncation",
        "store",
        "background",
        "stream",
        "stream_options",
        "metadata",
    }
)
_NOT_HERE: Mapping[str, str] = {
    "messages": "it belongs to /v1/chat/completions; here it is `input`",
    "system": "it belongs to /v1/messages; here it is `instructions`",
    "max_tokens": "here it is `max_output_tokens`",
    "max_completion_tokens": "here it is `max_output_tokens`",
    "response_format": "here it is `text.format`",
    "reasoning_effort": "here it is `reasoning.effort`",
    "verbosity": "here it is `text.verbosity`",
    "functions": "write them as `tools`",
    "conversation": "name the answer before by `previous_response_id`",
    "prompt": "write it out in `input` and `instructions`; prompts of the registry are run by /v1/execute_prompt",
    "max_tool_calls": "no tool is run here; calls are answered by the caller",
    "context_management": "nothing is compacted here; see `truncation`",
    "moderation": "ask /v1/moderations",
    "n": "a response has one answer; ask several times",
}
NAMES: Mapping[str, str] = {
    "messages": "input",
    "image_url": "input",
    "max_tokens": "max_output_tokens",
    "output_schema": "text.format",
    "json_object": "text.format",
    "response_format": "text.format",
    "verbosity": "text.verbosity",
    "reasoning_effort": "reasoning.effort",
    "logprobs": "top_logprobs",
}
"""Ours of what this body says under another name."""
LOGPROBS = "message.output_text.logprobs"
_FORMATS = ("text", "json_object", "json_schema")
_PAIRS, _KEY, _VALUE = 16, 64, 512


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a body asks for, before what it goes on from is known."""

    model: str
    turns: list[Turn]
    input: dict[str, Any]
    options: dict[str, Any]
    metadata: dict[str, str]
    about: dict[str, Any]
    """`previous`, `instructions`, `background`, `store`, `format`, `truncation`, `summary`: where it says so."""
    stream: bool

    @property
    def previous(self) -> str | None:
        """The answer that it goes on from."""
        found: str | None = self.about.get("previous")
        return found

    def asked(self, before: Sequence[Turn] = ()) -> Asked:
        """`before`: the chat that it goes on from. Raises `Problem` 400."""
        first = [{"role": "system", "content": self.about["instructions"]}] if "instructions" in self.about else []
        told = {name: value for name, value in self.about.items() if name != "instructions"}
        told |= {"instructed": bool(first), "own": len(first) + len(before)}
        chat_ = [*first, *before, *self.turns]
        items.check(chat_)
        record: dict[str, Any] = {"input": {"messages": chat_, **self.input}, "options": self.options}
        record |= {"metadata": self.metadata, "response": told}
        background = self.about["background"]
        kept: Kept | None = (RESUMABLE if background else "stored") if self.about["store"] else None
        live = self.stream and not background
        return Asked(self.model, record, live, names=NAMES, kept=kept, background=background)


def read(body: Mapping[str, Any]) -> Wanted:
    """Raises `Problem` 400 that names a field."""
    for name, instead in _NOT_HERE.items():
        if body.get(name) is not None:
            raise wrong(name, f"`{name}` is not taken: {instead}.", "unsupported_parameter")
    told = only(body, FIELDS, "")
    model = text(told, "model")
    chat.streaming({**told, "stream_options": _obfuscation(told)} if "stream_options" in told else told)
    form, shape = _text(told)
    effort, summary = _reasoning(told)
    params = _params(told, shape | effort)
    input_ = form | _tools(told) | _logprobs(told) | params | {"repair": False, "whole": True}
    if (cut := _truncation(told)) == "auto":
        input_["truncate"] = True
    about = _about(told) | {"truncation": cut} | summary | _format_told(told)
    options = {ours: told[theirs] for theirs, ours in _OPTIONS.items() if theirs in told}
    turns = items.turns(told.get("input"))
    return Wanted(model, turns, input_, options, _metadata(told), about, flag(told, "stream"))


_OPTIONS = {"temperature": "temperature", "max_output_tokens": "max_tokens"}


def _obfuscation(told: Mapping[str, Any]) -> dict[str, Any]:
    return only(told["stream_options"], {"include_obfuscation"}, "stream_options")


def _about(told: Mapping[str, Any]) -> dict[str, Any]:
    store, background = flag({"store": True, **told}, "store"), flag(told, "background")
    if background and not store:
        raise wrong("store", "`background` needs `store: true`: nobody could ask for the answer.")
    found: dict[str, Any] = {"store": store, "background": background}
    if "previous_response_id" in told:
        found["previous"] = text(told, "previous_response_id")
    if "instructions" in told:
        if not isinstance(told["instructions"], str):
            raise wrong("instructions", "`instructions` must be a text.")
        if told["instructions"]:
            found["instructions"] = told["instructions"]
    return found


def _metadata(told: Mapping[str, Any]) -> dict[str, str]:
    found = told.get("metadata", {})
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise wrong("metadata", "`metadata` must be an object of texts.")
    if len(found) > _PAIRS or any(len(name) > _KEY or len(value) > _VALUE for name, value in found.items()):
        words = f"`metadata` takes {_PAIRS} pairs, names of {_KEY} and texts of {_VALUE} characters."
        raise wrong("metadata", words)
    return found


def _truncation(told: Mapping[str, Any]) -> str:
    found = told.get("truncation", "disabled")
    if found not in ("auto", "disabled"):
        raise wrong("truncation", "`truncation` is auto or disabled.")
    return str(found)


def _params(told: Mapping[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    found = chat.wishes(told)
    params = found.get("params", {}) | more
    return {"params": params} if params else {}


def _logprobs(told: Mapping[str, Any]) -> dict[str, Any]:
    include = told.get("include", [])
    if not isinstance(include, list) or any(each != LOGPROBS for each in include):
        raise wrong("include", f"`include` can only hold {LOGPROBS}.", "unsupported_parameter")
    if include:
        return {"logprobs": told.get("top_logprobs", 0)}
    if "top_logprobs" in told:
        raise wrong("top_logprobs", f"`top_logprobs` needs {LOGPROBS} in `include`.")
    return {}


def _reasoning(told: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    asked = only(told.get("reasoning", {}), {"effort", "summary"}, "reasoning")
    if asked.get("summary", "auto") != "auto":
        words = "`reasoning.summary` can only be auto: what a provider tells of a model's thoughts is told."
        raise wrong("reasoning.summary", words, "unsupported_parameter")
    effort = {"reasoning_effort": asked["effort"]} if "effort" in asked else {}
    return effort, {"summary": "auto"} if "summary" in asked else {}


_FORMAT = frozenset({"type", "name", "schema", "strict", "description"})


def _text(told: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """How the answer is to look: as the operation says it, and as a wish."""
    asked = only(told.get("text", {}), {"format", "verbosity"}, "text")
    shape = {"verbosity": asked["verbosity"]} if "verbosity" in asked else {}
    form = asked.get("format", {"type": "text"})
    kind = kind_of(form)
    if kind not in _FORMATS:
        raise wrong("text.format.type", f"`text.format.type` is one of {', '.join(_FORMATS)}.")
    if kind != "json_schema":
        only(form, {"type"}, "text.format")
        return {"json_object": True} if kind == "json_object" else {}, shape
    inner = only(form, _FORMAT, "text.format")
    schema = inner.get("schema")
    if not isinstance(schema, dict):
        raise wrong("text.format.schema", "`text.format.schema` is missing; send a JSON Schema.")
    flag(inner, "strict")
    for name in ("name", "description"):
        if not isinstance(inner.get(name, ""), str):
            raise wrong(f"text.format.{name}", f"`text.format.{name}` must be a text.")
    described = {"description": inner["description"]} if "description" in inner else {}
    return {"output_schema": described | schema}, shape


def _format_told(told: Mapping[str, Any]) -> dict[str, Any]:
    """What of a format the record says nowhere else: its schema stands in the input."""
    form = told.get("text", {}).get("format") or {}
    return {"format": {name: value for name, value in form.items() if name != "schema" and value is not None}}


def _tools(told: Mapping[str, Any]) -> dict[str, Any]:
    tools = told.get("tools", [])
    if not isinstance(tools, list):
        raise wrong("tools", "`tools` must be a list.")
    bound(tools, sizes.MOST_TOOLS, "tools", "tools")
    found: dict[str, Any] = {}
    if tools:
        found["tools"] = [_tool(tool, f"tools[{i}]") for i, tool in enumerate(tools)]
    if (choice := told.get("tool_choice")) is not None and (tools or choice != "auto"):
        found["tool_choice"] = _choice(choice)
        if not tools and choice != "none":
            raise wrong("tool_choice", "`tool_choice` needs `tools`.")
    if "parallel_tool_calls" in told:
        found["parallel_tool_calls"] = flag(told, "parallel_tool_calls")
    return found


def _tool(tool: Any, where: str) -> dict[str, Any]:
    if (kind := kind_of(tool)) != "function":
        words = f"`{where}.type` is {kind!r:.100}; only functions are taken, which the caller runs."
        raise wrong(f"{where}.type", words, "unsupported_parameter")
    told = only(tool, {"type", "name", "description", "parameters", "strict"}, where)
    return {"type": "function", "function": {name: value for name, value in told.items() if name != "type"}}


def _choice(choice: Any) -> Any:
    if isinstance(choice, str):
        if choice in ("auto", "none", "required"):
            return choice
        raise wrong("tool_choice", "`tool_choice` is auto, none, required, or a function by its name.")
    if kind_of(choice) != "function":
        words = "`tool_choice.type` can only be function; give the function's `name`."
        raise wrong("tool_choice.type", words, "unsupported_parameter")
    return {"type": "function", "function": {"name": only(choice, {"type", "name"}, "tool_choice").get("name")}}
