"""Requests and their results as OpenAI's responses. Pure.

A response says again how it was asked for: all of that is read off its record, so that it says the same whenever it is shown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from schemas.errors import ErrorType
from streams.web.openai.answers import choices, own

PREFIX = "resp_"

_STATES = {"waiting": "queued", "leased": "in_progress", "calling": "in_progress", "held": "in_progress"}
_CUT = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Why an answer is not whole."""
_CODES = {
    ErrorType.RATE_LIMITED: "rate_limit_exceeded",
    ErrorType.BUDGET_EXCEEDED: "rate_limit_exceeded",
    ErrorType.INVALID_REQUEST: "invalid_prompt",
    ErrorType.CONTEXT_TOO_LONG: "invalid_prompt",
}
"""Their word for what went wrong; else `server_error`."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A response that has no answer yet."""

    id: str
    record: Mapping[str, Any]
    model: str
    created: float

    @property
    def mark(self) -> str:
        """What the ids of its items share."""
        return self.id.removeprefix(PREFIX)

    def told(self, status: str) -> dict[str, Any]:
        """With all its fields."""
        about = self.record["response"]
        return {
            "id": self.id,
            "object": "response",
            "created_at": int(self.created),
            "status": status,
            "background": about["background"],
            "completed_at": None,
            "error": None,
            "incomplete_details": None,
            **_asked(self.record),
            "model": self.model,
            "output": [],
            "previous_response_id": about.get("previous"),
            "store": about["store"],
            "truncation": about["truncation"],
            "usage": None,
        }

    def ended(self, result: Mapping[str, Any], output: list[dict[str, Any]] | None = None) -> dict[str, Any]:
        """With its end. `output`: as it was told already."""
        status = result["status"]
        if status != "succeeded":
            return self.failed(result) if status != "cancelled" else self.told("cancelled")
        (choice,) = choices(result)
        reason = _CUT.get(choice["finish_reason"])
        found = self.told("completed" if reason is None else "incomplete")
        found |= {"output": items(choice, self.mark) if output is None else output, "usage": usage(result["usage"])}
        if reason is not None:
            return found | {"incomplete_details": {"reason": reason}}
        return found | {"completed_at": int(datetime.fromisoformat(result["completed_at"]).timestamp())}

    def failed(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """With why there is no answer."""
        if result["status"] == "expired":
            return self.broken(ErrorType.TIMEOUT, "It was not begun in time.")
        return self.broken(result["error"]["type"], result["error"]["message"])

    def broken(self, word: str, words: str) -> dict[str, Any]:
        """The same, in our word and a sentence."""
        code = _CODES.get(ErrorType(word), "server_error")
        return self.told("failed") | {"error": {"code": code, "message": words}}


def status_of(state: str) -> str:
    """Of a request that has not ended."""
    return _STATES[state]


def _asked(record: Mapping[str, Any]) -> dict[str, Any]:
    input_, options, about = record["input"], record["options"], record["response"]
    params = input_.get("params", {})
    choice = input_.get("tool_choice", "auto")
    return {
        "instructions": input_["messages"][0]["content"] if about["instructed"] else None,
        "max_output_tokens": options.get("max_tokens"),
        "max_tool_calls": None,
        "metadata": record.get("metadata", {}),
        "parallel_tool_calls": input_.get("parallel_tool_calls", True),
        "prompt_cache_key": params.get("prompt_cache_key"),
        "reasoning": {"effort": params.get("reasoning_effort"), "summary": about.get("summary")},
        "safety_identifier": params.get("user"),
        "service_tier": params.get("service_tier", "auto"),
        "temperature": options.get("temperature"),
        "text": {"format": _format(input_, about), "verbosity": params.get("verbosity", "medium")},
        "tool_choice": choice if isinstance(choice, str) else {"type": "function", **choice["function"]},
        "tools": [_tool(tool["function"]) for tool in input_.get("tools", ())],
        "top_logprobs": input_.get("logprobs", 0),
        "top_p": params.get("top_p"),
    }


def _tool(function: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "function", "description": None, "parameters": None, "strict": None, **function}


def _format(input_: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "text", **about["format"]}
    if found["type"] != "json_schema":
        return found
    schema = dict(input_["output_schema"])
    if "description" in found and schema.get("description") == found["description"]:
        del schema["description"]  # the format's own, which a model reads in its schema
    return {"name": "", "description": None, "strict": None, **found, "schema": schema}


def usage(totals: Mapping[str, Any]) -> dict[str, Any]:
    """Tokens in their names."""
    used = own(totals)
    return {
        "input_tokens": used.input_tokens,
        "input_tokens_details": {"cached_tokens": used.cached_tokens, "cache_write_tokens": used.cache_write_tokens},
        "output_tokens": used.output_tokens,
        "output_tokens_details": {"reasoning_tokens": used.reasoning_tokens},
        "total_tokens": used.input_tokens + used.output_tokens,
    }


def items(choice: Mapping[str, Any], mark: str) -> list[dict[str, Any]]:
    """An answer's items: thoughts, words, calls. One without anything is a message without words."""
    status = state_of(choice)
    found: list[dict[str, Any]] = []
    if choice["reasoning"]:
        found.append(thought(f"rs_{mark}_{len(found)}", status, choice["reasoning"]))
    if choice["content"] or not (choice["refusal"] or choice["tool_calls"]):
        part = text_part(choice["content"], logprobs(choice["logprobs"] or ()))
        found.append(message(f"msg_{mark}_{len(found)}", status, [part]))
    if choice["refusal"]:
        found.append(message(f"msg_{mark}_{len(found)}", status, [refusal_part(choice["refusal"])]))
    for call in choice["tool_calls"]:
        asked = call["function"]
        id_ = f"fc_{mark}_{len(found)}"
        found.append(function_call(id_, status, call["id"], asked["name"], asked["arguments"]))
    return found


def state_of(choice: Mapping[str, Any]) -> str:
    """Whether its items are whole."""
    return "incomplete" if choice["finish_reason"] in _CUT else "completed"


def message(id_: str, status: str, parts: list[dict[str, Any]]) -> dict[str, Any]:
    """An item of words."""
    return {"id": id_, "type": "message", "status": status, "role": "assistant", "content": parts}


def text_part(words: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    """Words, with their log probabilities."""
    return {"type": "output_text", "text": words, "annotations": [], "logprobs": found}


def refusal_part(words: str) -> dict[str, Any]:
    """What the model says instead of an answer."""
    return {"type": "refusal", "refusal": words}


def thought(id_: str, status: str, words: str | None) -> dict[str, Any]:
    """An item of thoughts; None: there are none yet."""
    content = [] if words is None else [{"type": "reasoning_text", "text": words}]
    return {"id": id_, "type": "reasoning", "status": status, "summary": [], "content": content}


def function_call(id_: str, status: str, call_id: str, name: str, arguments: str) -> dict[str, Any]:
    """An item that asks for a function."""
    told = {"call_id": call_id, "name": name, "arguments": arguments}
    return {"id": id_, "type": "function_call", "status": status, **told}


def logprobs(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """As they tell them: each token with those that it might have been."""
    return [{"bytes": [], "top_logprobs": [], **{k: v for k, v in each.items() if v is not None}} for each in found]
