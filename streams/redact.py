"""What `GENAI_REDACT` masks in logs, in views of dead letters and on pages: fields by name, texts by what they look like.

Words separated by commas, or a JSON list of them: `email`, `card` and `iban` are patterns, `/…/` is a pattern of the
operator's own, and every word is also the name of a field whose whole value is masked. What topics and database hold is
untouched, so a dead letter that is replayed is the one that came.
"""

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from streams.errors import SpineError

MASK = "***"
Found = re.Match[str]


def _card(found: Found) -> str:
    """Only what passes the check digit that card numbers carry (Luhn): an id of as many digits is left alone."""
    digits = [int(char) for char in found[0] if char.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return found[0] if (sum(digits[-1::-2]) + sum(doubled)) % 10 else MASK


def _always(_: Found) -> str:
    return MASK


@dataclass(frozen=True, slots=True)
class Pattern:
    """What is looked for, and what stands there afterwards."""

    look: re.Pattern[str]
    put: Callable[[Found], str] = _always


KNOWN = {
    "email": Pattern(re.compile(r"[\w.+-]+(?:['`\u00b4\u02bc\u2018\u2019][\w.+-]+)*@\w[\w-]*(?:\.[\w-]+)+")),
    "card": Pattern(re.compile(r"(?<!\d)\d(?:[ -]?\d){12,18}(?!\d)"), _card),
    "iban": Pattern(re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")),
}


@dataclass(frozen=True, slots=True)
class Redactor:
    """Masks; false when it has nothing to look for."""

    fields: frozenset[str] = frozenset()
    patterns: tuple[Pattern, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.fields or self.patterns)

    def text(self, words: str) -> str:
        """With everything masked that looks like one of the patterns."""
        for pattern in self.patterns:
            words = pattern.look.sub(pattern.put, words)
        return words

    def field(self, name: str, value: Any) -> Any:
        """A field's value: masked whole if its name says so, else looked through."""
        return MASK if name.casefold() in self.fields else self.value(value)

    def value(self, value: Any) -> Any:
        """A JSON value, looked through; a number that looks like a pattern is masked too."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(name)): self.field(str(name), below) for name, below in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(below) for below in value]
        if isinstance(value, int) and not isinstance(value, bool):
            return value if self.text(str(value)) == str(value) else MASK
        return value

    def record(self, raw: bytes) -> bytes:
        """A record's bytes: as JSON if they are, else as text."""
        try:
            return orjson.dumps(self.value(orjson.loads(raw)))
        except (orjson.JSONDecodeError, orjson.JSONEncodeError):
            return self.text(raw.decode(errors="replace")).encode()


@functools.cache
def of(words: str) -> Redactor:
    """`GENAI_REDACT` as it was written. Raises SpineError."""
    chosen = [word.strip() for word in _split(words) if word.strip()]
    fields = frozenset(word.casefold() for word in chosen if not _is_pattern(word))
    patterns = tuple(_pattern(word) for word in chosen if _is_pattern(word) or word.casefold() in KNOWN)
    return Redactor(fields, patterns)


def _split(words: str) -> list[str]:
    if not words.lstrip().startswith("["):
        return words.split(",")
    try:
        found = orjson.loads(words)
    except orjson.JSONDecodeError as error:
        raise SpineError(f"GENAI_REDACT begins like a JSON list and is none ({error}).", exit_code=2) from None
    if not all(isinstance(word, str) for word in found):
        raise SpineError('GENAI_REDACT is a list of words; write ["email", "/AC-\\\\d+/"].', exit_code=2)
    return list(found)


def _is_pattern(word: str) -> bool:
    return len(word) > 2 and word.startswith("/") and word.endswith("/")


def _pattern(word: str) -> Pattern:
    if not _is_pattern(word):
        return KNOWN[word.casefold()]
    try:
        return Pattern(re.compile(word[1:-1]))
    except re.error as error:
        raise SpineError(
            f"GENAI_REDACT: {word} is no regular expression ({error}). One with a comma in it goes into a JSON list.",
            exit_code=2,
        ) from None
