"""One request and its output per operation, for the API's description; a test holds them against the schemas."""

from collections.abc import Mapping
from typing import Any

_TEXT = "The ferry Aurora was delayed by fog on Friday. It left Bergen four hours late."

INPUTS: Mapping[str, dict[str, Any]] = {
    "summarize": {"content": _TEXT, "max_sentences": 1},
    "extract": {"content": _TEXT, "entity_types": ["ship", "place"]},
    "classify": {"content": "I was charged twice.", "categories": ["billing", "shipping", "praise"]},
    "compare": {"items": ["Fares rise by 4% in May.", "From May on, a ticket costs 4% more."], "aspects": ["amount"]},
    "rewrite": {"content": _TEXT, "tone": "plain", "max_words": 15},
    "complete": {"messages": [{"role": "user", "content": "Name three Norwegian ports."}]},
    "embed": {"texts": ["fog in Bergen", "a late ferry"]},
    "execute_prompt": {"prompt": "summarize", "variables": {"content": _TEXT, "max_sentences": 1}},
    "moderate": {"content": _TEXT},
}

OUTPUTS: Mapping[str, dict[str, Any]] = {
    "summarize": {"summary": "Fog delayed the ferry Aurora by four hours.", "key_points": ["four hours late"]},
    "extract": {
        "entities": [
            {"text": "Aurora", "type": "ship", "start": 10, "end": 16},
            {"text": "Bergen", "type": "place", "start": 55, "end": 61},
        ],
        "data": None,
        "key_points": [],
    },
    "classify": {
        "category": "billing",
        "confidence": 0.97,
        "scores": {"billing": 0.97, "shipping": 0.02, "praise": 0.01},
    },
    "compare": {
        "similarities": ["Both announce 4% from May on."],
        "differences": [],
        "verdict": "They say the same.",
        "similarity": 0.95,
    },
    "rewrite": {"content": "Fog held the ferry Aurora in Bergen for four hours on Friday."},
    "complete": {"content": "Bergen, Stavanger and Tromsø.", "finish_reason": "stop"},
    "embed": {"embeddings": [[0.6, 0.8], [0.8, 0.6]], "dimensions": 2},
    "execute_prompt": {
        "content": "Fog delayed the ferry Aurora by four hours.",
        "prompt": {"id": "summarize", "slug": "summarize", "version": 1},
    },
    "moderate": {
        "results": [{"flagged": False, "categories": {"violence": False}, "scores": {"violence": 0.0004}}],
    },
}


def result(operation: str) -> dict[str, Any]:
    """A result as the door answers it."""
    return {
        "id": "ferry-1",
        "operation": operation,
        "status": "succeeded",
        "output": OUTPUTS.get(operation),
        "error": None,
        "warnings": [],
        "provider": "ollama",
        "model": "llama3.2:latest",
        "usage": {
            "input_tokens": 61,
            "output_tokens": 14,
            "cached_tokens": 0,
            "estimated": False,
            "cost_usd": "0.000000",
            "unpriced_calls": 0,
            "calls": 1,
        },
        "latency_ms": 412,
        "queue_ms": 3,
        "attempts": 1,
        "generation": 1,
        "replayed": False,
        "tenant": "default",
        "run_id": None,
        "metadata": {},
        "source": None,
        "requested_at": "2026-11-21T10:00:00Z",
        "completed_at": "2026-11-21T10:00:00.415Z",
    }


PROBLEM: dict[str, Any] = {
    "type": "urn:genai-spine:error:invalid_request",
    "title": "Unprocessable Content",
    "status": 422,
    "detail": "limit='0' is no whole number from 1 to 500.",
    "error": {"type": "invalid_request", "message": "limit='0' is no whole number from 1 to 500.", "retryable": False},
}
_REQUEST = {
    "request_id": "ferry-1",
    "tenant": "default",
    "operation": "summarize",
    "status": "succeeded",
    "state": "succeeded",
    "lane": "normal",
    "provider": "ollama",
    "model": "llama3.2:latest",
    "attempts": 1,
    "generation": 1,
    "run_id": None,
    "key_id": None,
    "error_type": None,
    "requested_at": "2026-11-21T10:00:00.000+00:00",
    "accepted_at": "2026-11-21T10:00:00.003+00:00",
    "completed_at": "2026-11-21T10:00:00.415+00:00",
    "took_s": 0.412,
    "status_url": "/v1/requests/ferry-1?tenant=default&operation=summarize",
}
_PLACE = {"position": 12, "eta_s": 7.4, "why": ""}
_LANE = {
    "waiting": 120,
    "delayed": 1,
    "running": 4,
    "held": 0,
    "oldest_s": 58.2,
    "rate_per_s": 2.1,
    "eta_s": 59.3,
    "done_s": 78.4,
}
_KEY = {
    "id": "key-2f8a0c1d9b7e",
    "prefix": "genai_Xk29Lq0a",
    "name": "feedspine",
    "tenant": "feedspine",
    "state": "works",
    "operations": ["summarize", "extract"],
    "models": ["*"],
    "lanes": ["normal", "batch"],
    "admin": False,
    "rpm": 600,
    "tpm": None,
    "concurrency": 50,
    "made_at": "2026-11-21T10:00:00+00:00",
    "expires_at": "2027-02-19T10:00:00+00:00",
    "rotated_at": None,
    "revoked_at": None,
    "used_at": None,
    "old_prefix": None,
    "old_until": None,
}
_MADE = _KEY | {"key": "genai_Xk29Lq0a_ and 43 letters and digits"}
_SUMS = {"calls": 201, "input_tokens": 9844, "output_tokens": 4623, "cached_tokens": 0}
_MONEY = {"unpriced_calls": 0, "cost_usd": "0.006000"}

_BUDGET = {
    "id": 1,
    "tenant": "feedspine",
    "key": None,
    "model": "openai/*",
    "run": None,
    "per": "month",
    "hard": True,
    "allow_unpriced": False,
    "limit_usd": "25.000000",
    "spent_usd": "3.140000",
    "reserved_usd": "0.020000",
    "left_usd": "21.840000",
    "overrun_usd": "0.000000",
    "unpriced_calls": 0,
    "refused": 0,
    "since": "2026-11-01T00:00:00Z",
    "resets_at": "2026-12-01T00:00:00Z",
    "removed": False,
}
_SET = {
    "at": "2026-11-02T09:00:00Z",
    "event": "set",
    "who": "http",
    "refused": 0,
    "limit_usd": "25.000000",
    "spent_usd": "0.000000",
    "reserved_usd": "0.000000",
}

_RUN = {
    "run_id": "run_01a2000a7d73707c8c17fa17d94a7891",
    "kind": "workflow",
    "name": "batch_summarize",
    "status": "running",
    "tenant": "default",
    "progress": {"total": 2, "done": 1, "succeeded": 1, "failed": 0, "cancelled": 0, "share": 0.5},
    "cost_usd": "0.000012",
    "tokens": 81,
    "eta_s": None,
    "result_url": "/v1/runs/run_01a2000a7d73707c8c17fa17d94a7891/results?tenant=default",
    "items_url": "/v1/runs/run_01a2000a7d73707c8c17fa17d94a7891/items?tenant=default",
    "metadata": {},
    "created_at": "2026-11-21T10:00:00+00:00",
    "started_at": "2026-11-21T10:00:00.200000+00:00",
    "ended_at": None,
}

_SCHEDULED: dict[str, Any] = {
    "cron": "10 0 * * *",
    "timezone": "UTC",
    "overlap": "skip",
    "run": {
        "kind": "task",
        "name": "aggregate_costs",
        "params": {"period": "daily", "date": "${yesterday}"},
        "idempotency_key": "cost_rollup_${yesterday}",
    },
}
_SCHEDULE: dict[str, Any] = _SCHEDULED | {
    "name": "cost_rollup",
    "source": "api",
    "catch_up": True,
    "paused": False,
    "description": "",
    "next_at": "2026-11-22T00:10:00Z",
    "next": ["2026-11-22T00:10:00Z", "2026-11-23T00:10:00Z"],
    "queued_at": None,
    "last": {
        "planned_at": "2026-11-21T00:10:00Z",
        "fired_at": "2026-11-21T00:10:00.412Z",
        "run_id": "run_01a2000a7d73707c8c17fa17d94a7891",
        "kind": "task",
        "status": "succeeded",
    },
    "fired": 3,
    "skipped": 0,
    "missed": 0,
    "failed": 0,
    "error": None,
    "made_at": "2026-11-18T16:02:11Z",
    "changed_at": "2026-11-18T16:02:11Z",
}
_RIGHTED: dict[str, Any] = {
    "date": "2026-11-20",
    "provider": "ollama",
    "model": "llama3.2:latest",
    "tenant": "feedspine",
    "difference_usd": "-0.002500",
    "more": {"calls": -1, "input_tokens": -61},
    "run_id": "run_01a2000a7d73707c8c17fa17d94a7891",
    "at": "2026-11-21T00:10:00.633Z",
}

ANSWERS: Mapping[str, dict[str, Any]] = {
    "/v1/schedules": {
        "items": [_SCHEDULE],
        "leader": {"worker": "host-17-9c1d2e3f4a5b", "since": "2026-11-20T08:00:00Z"},
        "file": {"ok": True, "why": ""},
    },
    "/v1/schedules/{schedule}": _SCHEDULE,
    "/v1/costs/corrections": {"from": "2026-11-20", "to": "2026-11-20", "items": [_RIGHTED]},
    "/v1/runs": {"items": [_RUN], "next": None},
    "/v1/prompts": {
        "items": [
            {
                "id": "library/summarize",
                "slug": "summarize",
                "tenant": None,
                "name": "summarize",
                "description": "A text in a few sentences.",
                "category": "",
                "tags": [],
                "is_system": True,
                "is_public": True,
                "created_by": None,
                "created_at": "2026-11-21T10:00:00+00:00",
                "updated_at": "2026-11-21T10:00:00+00:00",
                "archived_at": None,
                "version": 1,
                "revision": 0,
            }
        ],
        "next": None,
    },
    "/v1/budgets": {"items": [_BUDGET]},
    "/v1/budgets/{budget}": _BUDGET | {"history": [_SET]},
    "/health": {"status": "ok", "process": "web", "uptime_s": 12.3},
    "/ready": {
        "ready": True,
        "process": "web",
        "parts": {"database": {"ok": True, "why": "", "since": "2026-11-21T10:00:00+00:00", "needed": True}},
    },
    "/v1/requests": {"items": [_REQUEST], "next": None},
    "/v1/requests/{request_id}": result("summarize") | {"calls": []},
    "/v1/requests/{request_id}/queue": {"request_id": "ferry-1", "state": "waiting", **_PLACE},
    "/v1/queue": {
        "at": "2026-11-21T10:00:00.000+00:00",
        "kafka": {"ok": True, "why": ""},
        "lanes": [{"lane": "normal", "in_kafka": 40, **_LANE, "in_kafka_by_operation": {"summarize": 40}}],
        "pools": [
            {
                "provider": "ollama",
                "model": "llama3.2:latest",
                "slots": 4,
                "running": 4,
                "rate_per_s": 2.1,
                "call_s": 1.7,
                "measured": 400,
                "why": "",
                "lanes": [{"lane": "normal", **_LANE}],
            }
        ],
        "all": {
            "in_kafka": 40,
            "waiting": 120,
            "delayed": 1,
            "running": 4,
            "held": 0,
            "oldest_s": 58.2,
            "rate_per_s": 2.1,
            "done_s": 78.4,
        },
    },
    "/v1/usage": {
        "by": "provider",
        "from": "2026-11-01",
        "to": "2026-11-21",
        "items": [{"name": "ollama", "provider": "ollama", **_SUMS, "wasted": 0, "errors": 0, **_MONEY}],
        "totals": {**_SUMS, **_MONEY},
    },
    "/v1/costs": {
        "from": "2026-11-01",
        "to": "2026-11-21",
        "days": [
            {
                "date": "2026-11-21",
                "provider": "ollama",
                "model": "llama3.2:latest",
                "tenant": "default",
                **_SUMS,
                **_MONEY,
            }
        ],
        "totals": {**_SUMS, **_MONEY},
        "savings": {
            "routes": [{"route": "nightly", "requests": 3, "saved_usd": "0.001200"}],
            "tiers": [
                {"tier": "batch", "provider": "openai", "model": "gpt-5-mini", "requests": 2, "saved_usd": "0.000825"}
            ],
            "saved_usd": "0.002025",
        },
    },
    "/v1/models": {
        "object": "list",
        "data": [
            {
                "id": "llama3.2:latest",
                "object": "model",
                "created": 0,
                "owned_by": "ollama",
                "kind": "chat",
                "loaded": True,
                "context_tokens": 8192,
                "output_tokens": None,
                "can": {"response_format": True, "tools": False, "image_url": False, "logprobs": False, "params": []},
                "price": {
                    "input_per_million": "0",
                    "output_per_million": "0",
                    "cached_per_million": "0",
                    "per_gpu_second": "0",
                    "source": "default",
                    "version": "1",
                },
            }
        ],
        "providers": [{"name": "ollama", "ok": True, "why": ""}],
    },
    "/v1/keys": {"items": [_KEY]},
    "/v1/keys/{key_id}": _KEY,
    "/v1/routes": {
        "routes": [
            {
                "name": "fast",
                "targets": [
                    {"model": "ollama/llama3.2:latest", "when": None, "wait_s": 60.0, "weight": 1.0, "arm": None}
                ],
                "fallbacks": [{"model": "openai/gpt-5-mini", "when": {"lanes": ["realtime"]}, "wait_s": None}],
                "sticky": None,
                "fall_back_on": ["unreachable", "overloaded"],
                "rate_limited_after_s": 5.0,
                "max_waiting": None,
                "guards": [],
            }
        ],
        "file": {"ok": True, "why": ""},
    },
}
"""Path to what it answers with 200."""

_HELD = {
    "request_id": "ferry-1",
    "tenant": "default",
    "operation": "summarize",
    "done": True,
    "status_url": "/v1/requests/ferry-1?tenant=default&operation=summarize",
}
ORDERS: Mapping[str, tuple[str, str, dict[str, Any]]] = {
    "/v1/requests/{request_id}/cancel": (
        "200",
        "It is cancelled. 202: its call is being aborted, or nobody knows the id yet; 409: it has ended before.",
        {
            "request_id": "ferry-1",
            "tenant": "default",
            "operation": "summarize",
            "cancel": "cancelled",
            "status": "cancelled",
            "status_url": "/v1/requests/ferry-1?tenant=default&operation=summarize",
        },
    ),
    "/v1/requests/{request_id}/retry": (
        "200",
        "It waits again. 409: it is not held.",
        _HELD | {"state": "waiting", "why": "waits for another try"},
    ),
    "/v1/requests/{request_id}/drop": (
        "200",
        "It has ended as `failed`, `ambiguous`. 409: it is not held.",
        _HELD | {"state": "failed", "why": "dropped: it ends as failed, ambiguous"},
    ),
    "/v1/routes/explain": (
        "200",
        "The decision; nothing was called and nothing is kept.",
        {
            "asked": "fast",
            "route": "fast",
            "arm": None,
            "taken": "ollama/llama3.2:latest",
            "targets": [
                {
                    "target": "ollama/llama3.2:latest",
                    "taken": True,
                    "why": "",
                    "cannot": [],
                    "paid": False,
                    "context_tokens": 8192,
                    "wait_s": None,
                    "estimate": {"input_tokens": 6, "output_tokens": 512, "cost_usd": "0.000000"},
                }
            ],
            "error": None,
        },
    ),
    "/v1/runs/{run_id}/cancel": (
        "202",
        "Its requests end as workers come to them.",
        {"run_id": "nightly", "tenant": "default", "cancel": "cancelled", "unfinished": 812},
    ),
    "/v1/keys": ("201", "The key, this once.", _MADE),
    "/v1/keys/{key_id}/rotate": ("200", "The new key, this once. 409: it was revoked.", _MADE),
    "/v1/keys/{key_id}/revoke": (
        "200",
        "It opens nothing any more.",
        _KEY | {"state": "revoked", "revoked_at": "2026-11-21T12:00:00+00:00"},
    ),
}
"""Path to the usual status of its answer, what that means, and an example."""


BODIES: Mapping[str, dict[str, Any]] = {
    "NewRun": {
        "kind": "workflow",
        "name": "batch_summarize",
        "params": {"texts": [_TEXT, "Fares rise by 4% in May."], "max_sentences": 1},
        "idempotency_key": "ferries-2026-11-21",
    },
    "NewPrompt": {
        "slug": "port-news",
        "template": "{{ content }}\nWhat does this mean for {{ port }}? One sentence.",
        "variables": [
            {"name": "content", "type": "content"},
            {"name": "port", "type": "text", "choices": ["Bergen", "Tromsø"]},
        ],
        "preferences": {"temperature": 0.2, "max_tokens": 80},
        "category": "news",
        "tags": ["ferries"],
        "notes": "First version.",
    },
    "Edit": {"template": "{{ content }}\nFor {{ port }}, in one sentence:", "notes": "Shorter question."},
    "Move": {"label": "production", "version": 2, "why": "Better on the last 100."},
    "Stand": {"versions": {"3": 90, "4": 10}, "why": "Try the shorter question on a tenth."},
    "Rollback": {"label": "production", "why": "Too long answers."},
    "Render": {"variables": {"content": _TEXT, "port": "Bergen"}},
    "/v1/schedules": _SCHEDULED,
    "/v1/budgets": {"tenant": "feedspine", "model": "openai/*", "limit_usd": "25", "per": "month"},
    "/v1/keys": {
        "name": "feedspine",
        "tenant": "feedspine",
        "operations": ["summarize", "extract"],
        "lanes": ["normal", "batch"],
        "rpm": 600,
        "concurrency": 50,
        "expires": "90d",
    },
}
"""What is sent where that is no operation's input: by the name of its model, or by its path."""
EXPLAINED = {"operation": "complete", "prompt": "Name three ports.", "options": {"model": "fast"}}
"""A body of `/v1/routes/explain`."""
