"""A question to three sources, by the shipped prompt `answer_from_sources`: answered from the right one, or said not to be told."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from agents.folding import Folded
from streams.quality.figures import Answer, Figure, Judged, Output, holds, summed
from streams.quality.texts import Text, sources
from streams.quality.words import invents, says_one

_NOTHING: Mapping[str, Any] = {"found": False, "answer": "", "quotes": []}
_MARK = re.compile(r"\[[\d\s,]+\]")


def judge(answers: Sequence[Answer]) -> Judged:
    return summed(answers, _look)


def _look(text: Text, output: Output) -> list[Figure]:
    told: Mapping[str, Any] = output["parsed"] if output else _NOTHING
    given, wanted, found = sources(text), text.sought.answers, told["found"]
    tells, own = int(bool(wanted)), {given.index(text) + 1}
    quoted = sum(_stands(quote, given) for quote in told["quotes"])
    said = _MARK.sub("", told["answer"])
    return [
        Figure("right", int(found and says_one(said, wanted)), tells),
        Figure("right source", int(found and tells and _named(told) == own), tells),
        Figure("not told", int(not tells and output is not None and not found), 1 - tells),
        Figure("quotes", quoted, len(told["quotes"])),
        holds("no invented figure", not invents(said, text.sought.question, *(s.content for s in given)), output),
    ]


def _named(told: Mapping[str, Any]) -> set[int]:
    """In brackets, or by a quote."""
    marks = (number for mark in _MARK.findall(told["answer"]) for number in re.findall(r"\d+", mark))
    return {*map(int, marks), *(quote["source"] for quote in told["quotes"])}


def _stands(quote: Mapping[str, Any], given: Sequence[Text]) -> bool:
    """In the source that it names, but for case, spaces and the shape of quotation marks."""
    if quote["source"] > len(given):
        return False
    return any(Folded(given[quote["source"] - 1].content).spans(Folded(quote["text"])))
