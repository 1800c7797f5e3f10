"""One of each kind of what the API keeps: a request, a key, a budget, a run, a schedule; and parts of its lists."""

from typing import Any

REQUEST = {
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

PLACE = {"position": 12, "eta_s": 7.4, "why": ""}

LANE = {
    "waiting": 120,
    "delayed": 1,
    "running": 4,
    "held": 0,
    "oldest_s": 58.2,
    "rate_per_s": 2.1,
    "eta_s": 59.3,
    "done_s": 78.4,
}

KEY = {
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

MADE = KEY | {"key": "genai_Xk29Lq0a_ and 43 letters and digits"}

SUMS = {"calls": 201, "input_tokens": 9844, "output_tokens": 4623, "cached_tokens": 0}

MONEY = {"unpriced_calls": 0, "cost_usd": "0.006000"}

BUDGET = {
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

SET = {
    "at": "2026-11-02T09:00:00Z",
    "event": "set",
    "who": "http",
    "refused": 0,
    "limit_usd": "25.000000",
    "spent_usd": "0.000000",
    "reserved_usd": "0.000000",
}

RUN = {
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

SCHEDULED: dict[str, Any] = {
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

SCHEDULE: dict[str, Any] = SCHEDULED | {
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

RIGHTED: dict[str, Any] = {
    "date": "2026-11-20",
    "provider": "ollama",
    "model": "llama3.2:latest",
    "tenant": "feedspine",
    "difference_usd": "-0.002500",
    "more": {"calls": -1, "input_tokens": -61},
    "run_id": "run_01a2000a7d73707c8c17fa17d94a7891",
    "at": "2026-11-21T00:10:00.633Z",
}
