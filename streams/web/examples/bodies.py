"""What is sent where that is no operation's input."""

from collections.abc import Mapping
from typing import Any

from streams.web.examples.objects import SCHEDULED
from streams.web.examples.operations import TEXT

BODIES: Mapping[str, dict[str, Any]] = {
    "NewRun": {
        "kind": "workflow",
        "name": "batch_summarize",
        "params": {"texts": [TEXT, "Fares rise by 4% in May."], "max_sentences": 1},
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
    "Stand": {"weights": {"3": 90, "4": 10}, "why": "Try the shorter question on a tenth."},
    "Rollback": {"label": "production", "why": "Too long answers."},
    "Render": {"variables": {"content": TEXT, "port": "Bergen"}},
    "/v1/schedules": SCHEDULED,
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
