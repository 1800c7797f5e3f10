"""What an order answers: its usual status, what that means, and an example."""

from collections.abc import Mapping
from typing import Any

from streams.web.examples.objects import KEY, MADE

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
    "/v1/keys": ("201", "The key, this once.", MADE),
    "/v1/keys/{key_id}/rotate": ("200", "The new key, this once. 409: it was revoked.", MADE),
    "/v1/keys/{key_id}/revoke": (
        "200",
        "It opens nothing any more.",
        KEY | {"state": "revoked", "revoked_at": "2026-11-21T12:00:00+00:00"},
    ),
}
"""Path to the usual status of its answer, what that means, and an example."""
