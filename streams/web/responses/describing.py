"""The Responses in the API's own description."""

from typing import Any

from streams.web.openai.describing import COMMON_HEADERS, MODEL, REFUSAL, RESPONSE_HEADERS

_TEXT = {"type": "string", "minLength": 1}
_OBJECT = {"type": ["object", "null"]}
_FLAG = {"type": ["boolean", "null"]}
FIELDS: dict[str, Any] = {
    "model": MODEL,
    "input": {"anyOf": [_TEXT, {"type": "array", "minItems": 1, "items": {"type": "object"}}]},
    "instructions": {"type": ["string", "null"]},
    "previous_response_id": {"type": ["string", "null"], "minLength": 1},
    "tools": {"type": ["array", "null"], "items": {"type": "object"}},
    "tool_choice": {"anyOf": [{"enum": ["auto", "none", "required", None]}, {"type": "object"}]},
    "parallel_tool_calls": _FLAG,
    "text": _OBJECT,
    "reasoning": _OBJECT,
    "max_output_tokens": {"type": ["integer", "null"], "minimum": 1, "maximum": 1_000_000},
    "temperature": {"type": ["number", "null"], "minimum": 0, "maximum": 2},
    "top_p": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
    "top_logprobs": {"type": ["integer", "null"], "minimum": 0, "maximum": 20},
    "include": {"type": ["array", "null"], "items": {"const": "message.output_text.logprobs"}},
    "truncation": {"enum": ["auto", "disabled", None]},
    "store": _FLAG,
    "background": _FLAG,
    "stream": _FLAG,
    "stream_options": {"type": ["object", "null"], "properties": {"include_obfuscation": {"type": "boolean"}}},
    "metadata": {"type": ["object", "null"], "additionalProperties": {"type": "string"}},
    "service_tier": {"enum": ["auto", "default", "flex", "priority", None]},
    "prompt_cache_key": {"type": ["string", "null"], "maxLength": 512},
    "user": {"type": ["string", "null"], "maxLength": 512},
    "safety_identifier": {"type": ["string", "null"], "maxLength": 512},
}
_TELLS = {
    "id": "resp_0199aa",
    "object": "response",
    "created_at": 1767225600,
    "status": "completed",
    "model": "llama3.2",
    "output": [
        {
            "id": "msg_0199aa_0",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Bergen, Stavanger and Tromsø.", "annotations": []}],
        }
    ],
    "usage": {"input_tokens": 12, "output_tokens": 9, "total_tokens": 21},
}
_BODY = {
    "type": "object",
    "required": ["model", "input"],
    "properties": FIELDS,
    "additionalProperties": False,
}
_STREAM = {"text/event-stream": {"schema": {"type": "string"}}}
_ANSWER: dict[str, Any] = {"application/json": {"schema": {"type": "object"}, "example": _TELLS}}


def _parameters(**told: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"name": name, "in": "query", "schema": schema} for name, schema in told.items()]


CREATE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": _BODY,
                "example": {"model": "llama3.2", "input": "Name three Norwegian ports."},
            }
        },
    },
    "parameters": COMMON_HEADERS,
    "responses": {
        "200": {"description": "The response.", "headers": RESPONSE_HEADERS, "content": _ANSWER | _STREAM},
        "4XX": REFUSAL,
    },
}
ONE: dict[str, Any] = {
    "parameters": _parameters(
        stream={"type": "boolean"},
        starting_after={"type": "integer", "minimum": 0},
        include_obfuscation={"type": "boolean"},
    ),
    "responses": {"200": {"description": "The response.", "content": _ANSWER | _STREAM}, "4XX": REFUSAL},
}
CHANGED: dict[str, Any] = {"responses": {"200": {"description": "Done.", "content": _ANSWER}, "4XX": REFUSAL}}
ITEMS: dict[str, Any] = {
    "parameters": _parameters(
        limit={"type": "integer", "minimum": 1, "maximum": 100},
        order={"type": "string", "enum": ["asc", "desc"]},
        after={"type": "string"},
    ),
    "responses": {"200": {"description": "A page of items."}, "4XX": REFUSAL},
}
