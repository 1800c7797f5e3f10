"""A text without its accidents of spelling, and the way back to where each character came from.

Folded away: composed or decomposed accents, upper and lower case (ß = ss, İ = i̇), the kind and amount of white space,
typographic quotes and dashes. One character can fold to several and several to one, so each folded character knows the
piece of the text it stands for; a match counts only if it begins and ends with whole pieces.
"""

# ruff: noqa: RUF001 - look-alike characters are the subject here
import re
import unicodedata
from array import array
from collections.abc import Iterator

_ALIKE = str.maketrans({**dict.fromkeys("‘’ʼ`", "'"), **dict.fromkeys("“”„«»", '"'), **dict.fromkeys("‐‑‒–—−", "-")})
_PIECE = re.compile(r"\s+|[!-~]+(?: [!-~]+)*(?![^\x00-\x7f])|.", re.DOTALL)
_JOINER = "\u200d"


def extends(character: str) -> bool:
    """Whether it belongs to the character before it: an accent, a joiner, a skin tone, a later part of a syllable."""
    return (
        unicodedata.category(character)[0] == "M"
        or character == _JOINER
        or "\U0001f3fb" <= character <= "\U0001f3ff"
        or "\u1160" <= character <= "\u11ff"
    )


class Folded:
    """`text` folded; `spans` finds in it what is written otherwise."""

    def __init__(self, text: str) -> None:
        self._starts, self._ends = array("L"), array("L")
        parts, position = [], 0
        while position < len(text):
            piece, end = _piece(text, position)
            parts.append(piece)
            if len(piece) == end - position and piece.isascii():
                self._starts.extend(range(position, end))
                self._ends.extend(range(position + 1, end + 1))
            else:
                self._starts.extend([position] * len(piece))
                self._ends.extend([end] * len(piece))
            position = end
        self.text = "".join(parts)

    def spans(self, wanted: "Folded") -> Iterator[tuple[int, int]]:
        """Where `wanted` stands, as spans of the text that was folded; also those that overlap."""
        needle = wanted.text.strip()
        found = self.text.find(needle) if needle else -1
        while found >= 0:
            last = found + len(needle) - 1
            if self._whole(found, last):
                yield self._starts[found], self._ends[last]
            found = self.text.find(needle, found + 1)

    def _whole(self, first: int, last: int) -> bool:
        begins = first == 0 or self._starts[first - 1] != self._starts[first]
        return begins and (last + 1 == len(self.text) or self._starts[last + 1] != self._starts[last])


def _piece(text: str, position: int) -> tuple[str, int]:
    """The next piece, folded, and where it ends. A run of ASCII is many pieces in one: one character for each."""
    match = _PIECE.match(text, position)
    assert match
    end = match.end()
    if match.group().isspace():
        return " ", end
    if end - position == 1:
        while end < len(text) and extends(text[end]):
            end += 1
    raw = text[position:end]
    if raw.isascii():
        return raw.lower().translate(_ALIKE), end
    folded = unicodedata.normalize("NFD", unicodedata.normalize("NFD", raw).casefold())
    return folded.translate(_ALIKE), end
