"""Text of producers and models on a terminal: shown as text, whatever it holds."""

import unicodedata

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Controls and escapes, invisible and turning-round characters, halves of pairs, line and paragraph separators."""
_JOINS = "\u200d"
"""Holds an emoji together."""


def plain(text: str, width: int | None = None) -> str:
    """One line, in which a character that would act instead of being seen is written as its code; cut at `width`."""
    line = text if text.isprintable() else "".join(map(_shown, text))
    return line if width is None or len(line) <= width else f"{line[: max(0, width - 1)]}…"


def _shown(character: str) -> str:
    if character in "\n\t\r":
        return " "
    if character == _JOINS or unicodedata.category(character) not in _HIDDEN:
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
