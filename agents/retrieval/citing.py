"""An answer held against what it was made from: which passages it names, and whether its quotes occur in them.

What was invented is dropped and counted: a number that no passage has, a quote that stands in none of them. That the
documents do not say it is an answer too.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agents.folding import Folded
from agents.retrieval.passage import Passage

NOT_IN_THE_DOCUMENTS = "The documents do not say."
"""What is answered where the model only says that it found nothing."""
_NUMBERS = r"\d{1,4}(?:\s*(?:,|;|-|–|and)\s*\d{1,4})*"  # noqa: RUF001 - models write both dashes
_MARK = re.compile(rf"\s?\[\s*(?:sources?\s+)?({_NUMBERS})\s*\]", re.IGNORECASE)
_EACH = re.compile(r"(\d+)(?:\s*[-–]\s*(\d+))?")  # noqa: RUF001
_NOT_THERE = re.compile(
    r"(?:the (?:documents?|sources?|texts?) (?:do|does) not (?:say|mention|contain|tell|answer)"
    r"|(?:that|this|it|the answer) is not (?:\w+ )?in the (?:documents?|sources?|texts?)|not in the (?:documents|sources))",
    re.IGNORECASE,
)
_SHORTEST = 8
"""Characters; a shorter quote proves nothing."""


@dataclass(frozen=True, slots=True)
class Quote:
    """`text` stands at `start:end` of the document's text."""

    text: str
    start: int
    end: int
    page: int | None


@dataclass(frozen=True, slots=True)
class Source:
    """A passage that the answer names, or quotes. `number` is what stands in the answer's brackets."""

    number: int
    document: str
    page: int | None
    last_page: int | None
    heading: str | None
    start: int
    end: int
    score: float | None
    text: str
    quotes: list[Quote]


@dataclass(frozen=True, slots=True)
class Cited:
    """`found` is false where the documents do not hold the answer; there are no sources then. Both null: nobody was asked.

    `invented`: citations of no passage, and quotes that occur in none. `named`: the answer itself says what it rests on; else
    the sources are all that it was given.
    """

    answer: str | None
    found: bool | None
    sources: list[Source]
    named: bool
    invented: int


def check(given: Sequence[Passage], said: str | Mapping[str, Any]) -> Cited:
    """`said`: the answer of the prompt `answer_from_sources`, or a text with numbers in brackets."""
    answer, found, quoted = _read(said)
    if not found or not given:
        return Cited(_unmarked(answer) or NOT_IN_THE_DOCUMENTS, False, [], False, 0)
    answer, named, invented = _kept(answer, len(given))
    quotes: dict[int, list[Quote]] = {}
    for number, words in quoted:
        place = _find(words, number, given)
        if place is None:
            invented += 1
            continue
        at, quote = place
        listed = quotes.setdefault(at, [])
        if quote not in listed:
            listed.append(quote)
    cited = list(dict.fromkeys([*named, *sorted(quotes)]))
    numbers = cited or range(1, len(given) + 1)
    sources = [_source(number, given[number - 1], quotes.get(number, [])) for number in numbers]
    return Cited(answer, True, sources, bool(cited), invented)


def unasked(given: Sequence[Passage]) -> Cited:
    """All passages that were found, and no answer."""
    return Cited(None, None, [_source(number, each, []) for number, each in enumerate(given, 1)], False, 0)


def _read(said: str | Mapping[str, Any]) -> tuple[str, bool, list[tuple[int, str]]]:
    """The answer's words, whether it is one, and its quotes with the numbers that it gives them."""
    if isinstance(said, str):
        return said.strip(), bool(said.strip()) and not _NOT_THERE.match(said.strip()), []
    answer = str(said.get("answer") or "").strip()
    quotes = [
        (each["source"], str(each.get("text") or ""))
        for each in said.get("quotes") or []
        if isinstance(each, Mapping) and isinstance(each.get("source"), int)
    ]
    found = bool(said.get("found", True)) and bool(answer) and not _NOT_THERE.match(answer)
    return answer, found, quotes


def _kept(answer: str, most: int) -> tuple[str, list[int], int]:
    """The answer with brackets of real passages only, their numbers in order, and how many others there were."""
    named: list[int] = []
    invented = 0

    def mark(match: re.Match[str]) -> str:
        nonlocal invented
        numbers = list(_numbers(match[1]))
        real = list(dict.fromkeys(number for number in numbers if 1 <= number <= most))
        invented += sum(not 1 <= number <= most for number in numbers)
        named.extend(real)
        blank = match.group()[: len(match.group()) - len(match.group().lstrip())]
        return f"{blank}[{', '.join(map(str, real))}]" if real else ""

    return _MARK.sub(mark, answer).strip(), list(dict.fromkeys(named)), invented


def _numbers(words: str) -> Iterable[int]:
    for match in _EACH.finditer(words):
        first, last = int(match[1]), int(match[2] or match[1])
        if last - first > _WIDEST:  # a year's span, or a page's: no run of passages
            yield from (first, last)
        else:
            yield from range(first, last + 1)


_WIDEST = 20


def _unmarked(answer: str) -> str:
    return _MARK.sub("", answer).strip()


def _find(words: str, number: int, given: Sequence[Passage]) -> tuple[int, Quote] | None:
    """In the passage that it is said to be of, else in another one: the number is its to get wrong, the words are not."""
    words = words.strip()
    if len(words) < _SHORTEST and not any(words == each.text for each in given):
        return None
    order = sorted(range(1, len(given) + 1), key=lambda each: each != number)
    for tried in dict.fromkeys((words, words.strip("\"'“”‘’«»").strip())):  # noqa: RUF001 - perhaps marks of its own around them
        for at in order:
            span = _span(given[at - 1].text, tried)
            if span is not None:
                return at, _quote(given[at - 1], *span)
    return None


def _span(text: str, words: str) -> tuple[int, int] | None:
    """Where they stand as they are, else in another spelling."""
    start = text.find(words) if words else -1
    return (start, start + len(words)) if start >= 0 else next(Folded(text).spans(Folded(words)), None)


def _quote(passage: Passage, start: int, end: int) -> Quote:
    """`start:end` of the passage's text, by its place in the document."""
    begins = passage.start + start
    return Quote(passage.text[start:end], begins, passage.start + end, passage.page(begins))


def _source(number: int, passage: Passage, quotes: Sequence[Quote]) -> Source:
    return Source(
        number=number,
        document=passage.document,
        page=passage.page(passage.start),
        last_page=passage.page(passage.end),
        heading=passage.heading,
        start=passage.start,
        end=passage.end,
        score=passage.score,
        text=passage.text,
        quotes=sorted(quotes, key=lambda quote: quote.start),
    )
