"""The request that each operation is asked with, for a text."""

from collections.abc import Callable
from pathlib import Path
from string import Template
from typing import Any

from prompts.fence import fence
from streams.quality.texts import Text, categories, sources

MAX_SENTENCES = 3
MAX_WORDS = 60
PROMPT = "answer_from_sources"


def _classify(text: Text) -> dict[str, Any]:
    return {"content": text.content, "categories": categories()}


def _extract(text: Text) -> dict[str, Any]:
    return {"content": text.content, "entity_types": list(text.entities)}


def _summarize(text: Text) -> dict[str, Any]:
    return {"content": text.content, "max_sentences": MAX_SENTENCES}


def _compare(text: Text) -> dict[str, Any]:
    return {"items": [text.content, text.report.content]}


def _rewrite(text: Text) -> dict[str, Any]:
    return {"content": text.content, "instructions": text.rewriting.instructions, "max_words": MAX_WORDS}


def _complete(text: Text) -> dict[str, Any]:
    wording = Template((Path(__file__).parent / "question.txt").read_text(encoding="utf-8"))
    return {"prompt": wording.substitute(content=text.content, question=text.question.question)}


def _execute_prompt(text: Text) -> dict[str, Any]:
    given = [
        {"number": number, "place": each.id, "text": fence(each.content)}
        for number, each in enumerate(sources(text), 1)
    ]
    return {"prompt": PROMPT, "variables": {"question": text.sought.question, "sources": given}}


def _embed(text: Text) -> dict[str, Any]:
    return {"texts": [text.question.question, text.content]}


ASKS: dict[str, Callable[[Text], dict[str, Any]]] = {
    "classify": _classify,
    "extract": _extract,
    "summarize": _summarize,
    "compare": _compare,
    "rewrite": _rewrite,
    "complete": _complete,
    "execute_prompt": _execute_prompt,
    "embed": _embed,
}
"""Operation to the input that it is asked with."""
