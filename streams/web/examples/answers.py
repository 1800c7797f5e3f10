"""What a look answers, by its path; and a refusal."""

from collections.abc import Mapping
from typing import Any

from streams.web.examples.objects import BUDGET, KEY, LANE, MONEY, PLACE, REQUEST, RIGHTED, RUN, SCHEDULE, SET, SUMS
from streams.web.examples.operations import result

PROBLEM: dict[str, Any] = {
    "type": "urn:genai-spine:error:invalid_request",
    "title": "Unprocessable Content",
    "status": 422,
    "detail": "limit='0' is no whole number from 1 to 500.",
    "error": {"type": "invalid_request", "message": "limit='0' is no whole number from 1 to 500.", "retryable": False},
}

ANSWERS: Mapping[str, dict[str, Any]] = {
    "/v1/schedules": {
        "items": [SCHEDULE],
        "leader": {"worker": "host-17-9c1d2e3f4a5b", "since": "2026-11-20T08:00:00Z"},
        "file": {"ok": True, "why": ""},
    },
    "/v1/schedules/{schedule}": SCHEDULE,
    "/v1/costs/corrections": {"from": "2026-11-20", "to": "2026-11-20", "items": [RIGHTED]},
    "/v1/runs": {"items": [RUN], "next": None},
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
    "/v1/budgets": {"items": [BUDGET]},
    "/v1/budgets/{budget}": BUDGET | {"history": [SET]},
    "/health": {"status": "ok", "process": "web", "uptime_s": 12.3},
    "/ready": {
        "ready": True,
        "process": "web",
        "parts": {"database": {"ok": True, "why": "", "since": "2026-11-21T10:00:00+00:00", "needed": True}},
    },
    "/v1/requests": {"items": [REQUEST], "next": None},
    "/v1/requests/{request_id}": result("summarize") | {"calls": []},
    "/v1/requests/{request_id}/queue": {"request_id": "ferry-1", "state": "waiting", **PLACE},
    "/v1/queue": {
        "at": "2026-11-21T10:00:00.000+00:00",
        "kafka": {"ok": True, "why": ""},
        "lanes": [{"lane": "normal", "in_kafka": 40, **LANE, "in_kafka_by_operation": {"summarize": 40}}],
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
                "lanes": [{"lane": "normal", **LANE}],
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
        "items": [{"name": "ollama", "provider": "ollama", **SUMS, "wasted": 0, "errors": 0, **MONEY}],
        "totals": {**SUMS, **MONEY},
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
                **SUMS,
                **MONEY,
            }
        ],
        "totals": {**SUMS, **MONEY},
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
    "/v1/keys": {"items": [KEY]},
    "/v1/keys/{key_id}": KEY,
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
                "tier": None,
                "hedge": None,
            }
        ],
        "file": {"ok": True, "why": ""},
    },
}
"""Path to what it answers with 200."""
