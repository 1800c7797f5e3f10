"""OpenAI's paths in the API's own description."""

from collections.abc import Mapping
from typing import Any

from schemas.chat import Params
from schemas.embed import MAX_TEXTS
from schemas.moderate import MAX_TEXTS as MOST_MODERATED
from streams.web.openai import completions
from streams.web.openai.door import LANE, TENANT

_LANE = {
    "name": LANE,
    "in": "header",
    "schema": {"type": "string", "enum": ["realtime", "normal", "batch"], "default": "realtime"},
    "description": "How urgent.",
}
_TENANT = {"name": TENANT, "in": "header", "schema": {"type": "string"}, "description": "Whose request it is."}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "minLength": 1, "maxLength": 512, "pattern": "^[!-~]+$"},
    "description": "The same key and body get the same answer; another body: 422.",
}
RESPONSE_HEADERS = {
    "x-genai-request-id": {"schema": {"type": "string"}, "description": "Its id in the ledger."},
    "x-genai-cost-usd": {"schema": {"type": "string"}, "description": "What it cost; absent where nothing prices it."},
    "x-genai-cache": {
        "schema": {"type": "string", "enum": ["hit", "miss"]},
        "description": "Whether an answer was there.",
    },
}
COMMON_HEADERS = [_LANE, _TENANT, _KEY]
REFUSAL: dict[str, Any] = {
    "description": "A refusal, as OpenAI's clients read it.",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["error"],
                "properties": {
                    "error": {
                        "type": "object",
                        "required": ["message", "type", "param", "code"],
                        "properties": {
                            "message": {"type": "string"},
                            "type": {"type": "string"},
                            "param": {"type": ["string", "null"]},
                            "code": {"type": ["string", "null"]},
                        },
                    }
                },
            },
            "example": {
                "error": {
                    "message": "`temperature`: Input should be less than or equal to 2.",
                    "type": "invalid_request_error",
                    "param": "temperature",
                    "code": None,
                }
            },
        }
    },
}

_TEXT = {"type": "string", "minLength": 1}
_TOKENS = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1}
_OF_TOKENS = {"type": "array", "items": _TOKENS, "minItems": 1}
MODEL = {**_TEXT, "description": "`provider/model`, or a model of the default provider."}
_USAGE = {"prompt_tokens": 12, "completion_tokens": 9, "total_tokens": 21}
_WISHES = Params.model_json_schema()["properties"]
_COMMON: dict[str, Any] = {
    **_WISHES,
    "model": MODEL,
    "temperature": {"type": ["number", "null"], "minimum": 0, "maximum": 2},
    "max_tokens": {"type": ["integer", "null"], "minimum": 1, "maximum": 1_000_000},
    "stop": {"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "maxItems": 8}, {"type": "null"}]},
    "seed": {"type": ["integer", "null"], "minimum": 0, "maximum": 2**31 - 1},
    "n": {"type": ["integer", "null"], "minimum": 1, "maximum": 16},
    "stream": {"type": ["boolean", "null"]},
    "stream_options": {"type": ["object", "null"], "properties": {"include_usage": {"type": "boolean"}}},
}
_CHAT: dict[str, Any] = {
    **_COMMON,
    "messages": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/Turn"}},
    "tools": {"type": ["array", "null"], "items": {"$ref": "#/components/schemas/Tool"}},
    "tool_choice": {
        "anyOf": [
            {"enum": ["auto", "none", "required", None]},
            {"$ref": "#/components/schemas/Choose"},
        ]
    },
    "parallel_tool_calls": {"type": ["boolean", "null"]},
    "max_completion_tokens": {"type": ["integer", "null"], "minimum": 1, "maximum": 1_000_000},
    "logprobs": {"type": ["boolean", "null"]},
    "top_logprobs": {"type": ["integer", "null"], "minimum": 0, "maximum": 20},
    "response_format": {"type": ["object", "null"]},
    "store": {"type": ["boolean", "null"]},
    "metadata": {"type": ["object", "null"]},
    "modalities": {"type": ["array", "null"], "items": {"type": "string"}},
    "safety_identifier": {"type": ["string", "null"]},
}
_OLD: dict[str, Any] = {
    **{name: schema for name, schema in _COMMON.items() if name in completions.FIELDS},
    "prompt": {"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}, _TOKENS, _OF_TOKENS]},
    "logprobs": {"type": ["integer", "null"], "minimum": 0, "maximum": 20},
    "best_of": {"type": ["integer", "null"]},
    "echo": {"type": ["boolean", "null"]},
    "suffix": {"type": ["string", "null"]},
}
_EMBEDDINGS: dict[str, Any] = {
    "model": _COMMON["model"],
    "input": {
        "anyOf": [
            _TEXT,
            {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": MAX_TEXTS},
            _TOKENS,
            {**_OF_TOKENS, "maxItems": MAX_TEXTS},
        ]
    },
    "encoding_format": {"enum": ["float", "base64", None]},
    "dimensions": {"type": ["integer", "null"], "minimum": 1, "maximum": 65_536},
    "user": {"type": ["string", "null"]},
}

_MODERATIONS: dict[str, Any] = {
    "model": {
        "type": ["string", "null"],
        "description": "A route, `provider/model`, or a model of the default provider; else the one of GENAI_MODERATION_MODEL.",
    },
    "input": {
        "anyOf": [
            _TEXT,
            {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": MOST_MODERATED},
            {"type": "array", "minItems": 1, "items": {"type": "object", "required": ["type", "text"]}},
        ]
    },
}

_SAID = {"role": "assistant", "content": "Bergen, Stavanger and Tromsø.", "refusal": None}


def _described(
    properties: Mapping[str, Any], required: list[str], asks: dict[str, Any], tells: dict[str, Any], *, streams: bool
) -> dict[str, Any]:
    body = {"type": "object", "required": required, "properties": dict(properties), "additionalProperties": False}
    content: dict[str, Any] = {"application/json": {"schema": {"type": "object"}, "example": tells}}
    if streams:
        content["text/event-stream"] = {"schema": {"type": "string"}}
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": body, "example": asks}}},
        "parameters": COMMON_HEADERS,
        "responses": {"200": {"description": "The answer.", "headers": RESPONSE_HEADERS, "content": content}},
    }


CHAT = _described(
    _CHAT,
    ["model", "messages"],
    {"model": "llama3.2", "messages": [{"role": "user", "content": "Name three Norwegian ports."}]},
    {
        "id": "chatcmpl-0199aa",
        "object": "chat.completion",
        "created": 1767225600,
        "model": "llama3.2",
        "choices": [{"index": 0, "message": _SAID, "logprobs": None, "finish_reason": "stop"}],
        "usage": _USAGE,
        "system_fingerprint": None,
    },
    streams=True,
)
OLD = _described(
    _OLD,
    ["model", "prompt"],
    {"model": "llama3.2", "prompt": "Three Norwegian ports are"},
    {
        "id": "cmpl-0199aa",
        "object": "text_completion",
        "created": 1767225600,
        "model": "llama3.2",
        "choices": [{"index": 0, "text": "Bergen, Stavanger and Tromsø.", "logprobs": None, "finish_reason": "stop"}],
        "usage": _USAGE,
        "system_fingerprint": None,
    },
    streams=True,
)
MODERATIONS = _described(
    _MODERATIONS,
    ["input"],
    {"input": "The ferry was late."},
    {
        "id": "modr-0199aa",
        "model": "openai/omni-moderation-latest",
        "results": [
            {
                "flagged": False,
                "categories": {"violence": False},
                "category_scores": {"violence": 0.0004},
                "category_applied_input_types": {"violence": ["text"]},
            }
        ],
    },
    streams=False,
)
EMBEDDINGS = _described(
    _EMBEDDINGS,
    ["model", "input"],
    {"model": "nomic-embed-text", "input": ["fog in Bergen", "a late ferry"]},
    {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.6, 0.8]}],
        "model": "nomic-embed-text",
        "usage": {"prompt_tokens": 4, "total_tokens": 4},
    },
    streams=False,
)

UPLOAD: dict[str, Any] = {
    "parameters": [_TENANT],
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["purpose", "file"],
                    "properties": {
                        "purpose": {"type": "string", "enum": ["batch", "user_data"]},
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": "Requests as JSON Lines, or a document.",
                        },
                    },
                }
            }
        },
    },
    "responses": {"200": {"description": "The file."}, "4XX": REFUSAL},
}
BATCH: dict[str, Any] = {
    "parameters": [_TENANT],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["input_file_id", "endpoint", "completion_window"],
                    "properties": {
                        "input_file_id": {"type": "string"},
                        "endpoint": {
                            "type": "string",
                            "enum": ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"],
                        },
                        "completion_window": {"type": "string", "enum": ["24h"]},
                        "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
                    },
                }
            }
        },
    },
    "responses": {"200": {"description": "The batch."}, "4XX": REFUSAL},
}
