"""Anthropic's paths in the API's own description."""

from typing import Any

from streams.web.openai.describing import COMMON_HEADERS, MODEL, RESPONSE_HEADERS

_TEXT = {"type": "string", "minLength": 1}
_OBJECT = {"type": ["object", "null"]}
_MESSAGE = {
    "type": "object",
    "required": ["role", "content"],
    "properties": {
        "role": {"enum": ["user", "assistant"]},
        "content": {"anyOf": [{"type": "string"}, {"type": "array", "minItems": 1, "items": {"type": "object"}}]},
    },
    "additionalProperties": False,
}
FIELDS: dict[str, Any] = {
    "model": MODEL,
    "max_tokens": {"type": "integer", "minimum": 1, "maximum": 1_000_000},
    "messages": {"type": "array", "minItems": 1, "items": _MESSAGE},
    "system": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}, {"type": "null"}]},
    "temperature": {"type": ["number", "null"], "minimum": 0, "maximum": 2},
    "top_p": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
    "top_k": {"type": ["integer", "null"], "minimum": 1},
    "stop_sequences": {"type": ["array", "null"], "items": _TEXT, "maxItems": 8},
    "stream": {"type": ["boolean", "null"]},
    "tools": {"type": ["array", "null"], "items": {"type": "object"}},
    "tool_choice": _OBJECT,
    "metadata": _OBJECT,
    "service_tier": {"enum": ["auto", "standard_only", None]},
    "thinking": _OBJECT,
    "output_config": _OBJECT,
    "cache_control": _OBJECT,
}
COUNTED = ("model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "cache_control")
_ASKS = {
    "model": "llama3.2",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "Name three Norwegian ports."}],
}


def _described(
    names: tuple[str, ...], required: list[str], asks: dict[str, Any], tells: dict[str, Any]
) -> dict[str, Any]:
    properties = {name: FIELDS[name] for name in names}
    body = {"type": "object", "required": required, "properties": properties, "additionalProperties": False}
    content: dict[str, Any] = {"application/json": {"schema": {"type": "object"}, "example": tells}}
    if "stream" in names:
        content["text/event-stream"] = {"schema": {"type": "string"}}
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": body, "example": asks}}},
        "parameters": COMMON_HEADERS if "stream" in names else [],
        "responses": {"200": {"description": "The answer.", "headers": RESPONSE_HEADERS, "content": content}},
    }


MESSAGES = _described(
    tuple(FIELDS),
    ["model", "max_tokens", "messages"],
    _ASKS,
    {
        "id": "msg-0199aa",
        "type": "message",
        "role": "assistant",
        "model": "llama3.2",
        "content": [{"type": "text", "text": "Bergen, Stavanger and Tromsø."}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 12,
            "output_tokens": 9,
            "cache_read_input_tokens": 0,
            "cache_creation_input_tokens": 0,
        },
    },
)
COUNT = _described(
    COUNTED,
    ["model", "messages"],
    {name: _ASKS[name] for name in ("model", "messages")},
    {"input_tokens": 12, "estimated": False},
)
REFUSAL: dict[str, Any] = {
    "description": "A refusal, as Anthropic's clients read it.",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["type", "error"],
                "properties": {
                    "type": {"const": "error"},
                    "error": {
                        "type": "object",
                        "required": ["type", "message"],
                        "properties": {"type": {"type": "string"}, "message": {"type": "string"}},
                    },
                    "request_id": {"type": ["string", "null"]},
                },
            },
            "example": {
                "type": "error",
                "error": {"type": "invalid_request_error", "message": "`max_tokens` is missing; it must be a number."},
                "request_id": None,
            },
        }
    },
}
