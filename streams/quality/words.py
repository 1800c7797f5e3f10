"""What a text says, by its spelling alone: no second model judges."""

# ruff: noqa: SIM905 - a list of words reads best as prose
import re
from collections.abc import Iterable

from agents import sentences

_RUN = 5
"""Words in a row that two texts about one thing rarely share by chance."""
_ONES = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_WORDS = {word: number for number, word in enumerate(_ONES, 1)} | {
    word: 10 * tens for tens, word in enumerate(_TENS, 2)
}
_WRITTEN = re.compile(rf"\b(?:({'|'.join(_TENS)})-)?({'|'.join(_WORDS)})\b")


def says(text: str, words: str) -> bool:
    """Whether a text has these words, from the beginning of one; a figure must end where it ends."""
    ends = r"(?![.,]?\d)" if words[-1].isdigit() else ""
    return re.search(rf"(?<![\w.,]){re.escape(words)}{ends}", text, re.IGNORECASE) is not None


def says_one(text: str, spellings: Iterable[str]) -> bool:
    return any(says(text, spelling) for spelling in spellings)


def invents(answer: str, *given: str) -> bool:
    """Whether it has a number, in digits, that stands in nothing given, be it in digits or in words."""
    return not figures(answer) <= set().union(*(figures(each) | _written(each) for each in given))


def figures(text: str) -> set[str]:
    """Numbers in digits, with thousands as they may be written."""
    return {number.replace(",", "").rstrip(".") for number in re.findall(r"\d[\d,.]*", text)}


def _written(text: str) -> set[str]:
    """Numbers in words, up to ninety-nine."""
    return {str(_WORDS.get(tens, 0) + _WORDS[last]) for tens, last in _WRITTEN.findall(text.lower())}


def copied(answer: str, content: str) -> float:
    """The share of its runs of five words that stand in the content."""
    ours, theirs = _runs(answer), set(_runs(content))
    return sum(run in theirs for run in ours) / len(ours) if ours else 0.0


def _runs(text: str) -> list[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return [tuple(words[start : start + _RUN]) for start in range(len(words) - _RUN + 1)]


def length(text: str) -> int:
    """In words, as the spine counts them."""
    return sentences.count_words(text)
