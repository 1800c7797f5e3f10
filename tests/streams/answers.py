"""Results as the spine publishes them, for the judges of the quality bench."""

from collections.abc import Iterable
from typing import Any

from streams.quality.texts import Text, sources
from streams.quality.words import says


def succeeded(**output: Any) -> dict[str, Any]:
    usage = {"input_tokens": 10, "output_tokens": 2, "cost_usd": "0.000001500"}
    return {"status": "succeeded", "output": output, "warnings": [], "usage": usage, "latency_ms": 7}


def failed(kind: str) -> dict[str, Any]:
    return {**succeeded(), "status": "failed", "output": None, "error": {"type": kind}}


def entity(kind: str, text: str, start: int) -> dict[str, Any]:
    return {"type": kind, "text": text, "start": start, "end": start + len(text)}


def prompted(*, found: bool, answer: str, quotes: Iterable[tuple[int, str]] = ()) -> dict[str, Any]:
    quoted = [{"source": source, "text": text} for source, text in quotes]
    used = {"id": "file:answer_from_sources", "slug": "answer_from_sources", "version": 1}
    return {"content": "", "parsed": {"found": found, "answer": answer, "quotes": quoted}, "prompt": used}


def as_labelled(text: Text) -> dict[str, dict[str, Any]]:
    """By operation, the output that its labels ask for."""
    entities = [entity(kind, name, text.content.index(name)) for kind, names in text.entities.items() for name in names]
    differences = [
        f"{_said(text.content, each.here)}, and {_said(text.report.content, each.there)} in the other one"
        for each in text.report.differs
    ]
    own = sources(text).index(text) + 1
    told = {"found": False, "answer": "The sources do not say."}
    if text.sought.answers:
        told = {"found": True, "answer": f"{_said(text.content, text.sought.answers)} [{own}]"}
    return {
        "classify": {"category": text.category},
        "extract": {"entities": entities},
        "summarize": {"summary": "; ".join(_said(text.content, fact) for fact in text.must), "key_points": []},
        "compare": {"similarities": [], "differences": differences, "verdict": "They differ.", "similarity": 0.9},
        "rewrite": {"content": "; ".join(_said(text.content, fact) for fact in text.rewriting.keep)},
        "complete": {"content": _said(text.content, text.question.answers), "finish_reason": "stop"},
        "execute_prompt": prompted(**told, quotes=[(own, text.content[:40].upper())]),
        "embed": {"embeddings": [[1.0, 0.0], [1.0, 0.0]], "dimensions": 2},
    }


def _said(content: str, spellings: Iterable[str]) -> str:
    return next(each for each in spellings if says(content, each))
