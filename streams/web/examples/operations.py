"""One request and its output per operation; a test holds them against the schemas."""

from collections.abc import Mapping
from typing import Any

TEXT = "The ferry Aurora was delayed by fog on Friday. It left Bergen four hours late."

INPUTS: Mapping[str, dict[str, Any]] = {
    "summarize": {"content": TEXT, "max_sentences": 1},
    "extract": {"content": TEXT, "entity_types": ["ship", "place"]},
    "classify": {"content": "I was charged twice.", "categories": ["billing", "shipping", "praise"]},
    "compare": {"items": ["Fares rise by 4% in May.", "From May on, a ticket costs 4% more."], "aspects": ["amount"]},
    "rewrite": {"content": TEXT, "tone": "plain", "max_words": 15},
    "complete": {"messages": [{"role": "user", "content": "Name three Norwegian ports."}]},
    "embed": {"texts": ["fog in Bergen", "a late ferry"]},
    "execute_prompt": {"prompt": "summarize", "variables": {"content": TEXT, "max_sentences": 1}},
    "moderate": {"content": TEXT},
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
            "cache_write_tokens": 0,
            "reasoning_tokens": 0,
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
