"""Markdown stays as it was written, so that offsets are those of its source; its headings say where sections begin."""

import re
from collections.abc import Iterator

from agents.retrieval.document import Document, Section
from agents.retrieval.sniffing import MARKDOWN

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r" {0,3}#{1,6}(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$")
_UNDERLINE = re.compile(r" {0,3}(?:=+|-+)[ \t]*$")


def read(name: str, text: str) -> Document:
    """One section per heading, and one for what stands before the first."""
    begins = list(_headings(text))
    if not begins or begins[0][0] > 0:
        begins.insert(0, (0, None))
    ends = [start for start, _ in begins[1:]] + [len(text)]
    sections = (
        Section(start, end, heading=heading) for (start, heading), end in zip(begins, ends, strict=True) if end > start
    )
    return Document(name, MARKDOWN, text, tuple(sections))


def _headings(text: str) -> Iterator[tuple[int, str | None]]:
    """Where each one begins, and what it says; a line that stands in a code block is none."""
    fence, offset, before = "", 0, ""
    for line in text.splitlines(keepends=True):
        words = line.rstrip("\r\n")
        mark = _FENCE.match(words)
        if fence:
            if mark and mark[1].startswith(fence) and not words[mark.end() :].strip():
                fence = ""
            words = ""
        elif mark:
            fence, words = mark[1], ""
        elif found := _HEADING.match(words):
            yield offset, (found[1] or "").strip() or None
            words = ""
        elif before.strip() and not before.startswith((" ", "\t", ">", "-", "*", "|")) and _UNDERLINE.match(words):
            yield offset - len(before), before.strip()
            words = ""
        before = line if words.strip() else ""
        offset += len(line)
