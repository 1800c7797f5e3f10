"""The text of PDF and HTML, in a process of its own: `python -I extractor.py MEMORY_MB CPU_S`, documents on its standard input.

A hostile document must neither hang nor fill the process that serves others, so this one has limits that the system
enforces, none of the service's environment, and ends after one request's documents. It is run as a file and imports nothing
of ours, so that it is up in some 50 ms.

In: for each document a line of JSON (`kind`, `bytes`, `pages`, `characters`) and so many bytes. Out: for each one a line,
`{"pieces": [[text, page, heading], ...], "pages": n}` or `{"error": word, ...}`. Where lines are missing, it died of the next one.
"""

# ruff: noqa: SIM905 - a list of words reads best as prose
import contextlib
import json
import re
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

Piece = tuple[str, int | None, str | None]
"""Text, page, heading."""


class Refused(Exception):
    """The document is not read; `word` says why."""

    def __init__(self, word: str, **figures: Any) -> None:
        super().__init__(word)
        self.told = {"error": word, **figures}


def main(arguments: list[str]) -> None:
    limit(int(arguments[0]), int(arguments[1]))
    source, target = sys.stdin.buffer, sys.stdout.buffer
    for asked, data in documents(source):
        try:
            told = EXTRACTS[asked["kind"]](data, asked["pages"], asked["characters"])
        except Refused as refused:
            told = refused.told
        except MemoryError:
            told = {"error": "memory"}
        target.write(json.dumps(told, ensure_ascii=False).encode(errors="replace") + b"\n")
        target.flush()


def documents(source: BinaryIO) -> Iterator[tuple[dict[str, Any], bytes]]:
    while line := source.readline():
        asked = json.loads(line)
        yield asked, source.read(asked["bytes"])


def limit(memory_mb: int, cpu_s: int) -> None:
    """By the system, where it can. No dump is left of a process that held somebody's text."""
    with contextlib.suppress(ImportError):
        import resource

        for which, most in (
            (resource.RLIMIT_AS, memory_mb * 1024 * 1024),
            (resource.RLIMIT_CPU, cpu_s),
            (resource.RLIMIT_CORE, 0),
        ):
            with contextlib.suppress(ValueError, OSError):  # macOS knows no bound of the address space
                resource.setrlimit(which, (most, most))


_PASSWORD, _SECURITY = 4, 5
"""PDFium's own numbers."""
_SOFT_HYPHEN = re.compile("[\ufffe\x02]\\s*\n\\s*|\u00ad\\s*\n\\s*")
_NO_TEXT = re.compile("[\x00-\x08\x0b\x0e-\x1f\ufffe\uffff\ud800-\udfff\u00ad]")


def pdf(data: bytes, most_pages: int, most_characters: int) -> dict[str, Any]:
    """Page by page, in the order of the text. PDFium, since it is what Chrome is attacked with all day."""
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(data)
        count = len(document)
    except pypdfium2.PdfiumError as error:
        locked = getattr(error, "err_code", None) in {_PASSWORD, _SECURITY}
        raise Refused("encrypted" if locked else "broken", said=str(error)[:200]) from error
    if count > most_pages:
        raise Refused("pages", pages=count)
    pieces: list[Piece] = []
    unread: list[int] = []
    size = 0
    for number in range(count):
        try:
            text = _page(document, number, most_characters - size)
        except pypdfium2.PdfiumError:
            unread.append(number + 1)
            continue
        size += len(text)
        pieces.append((text, number + 1, None))
    if count and len(unread) == count:
        raise Refused("broken", said="no page of it can be opened")
    return {"pieces": pieces, "pages": count, "unread": unread}


def _page(document: Any, number: int, room: int) -> str:
    page = document[number]
    try:
        text_page = page.get_textpage()
        try:
            if text_page.count_chars() > room:
                raise Refused("characters")
            text = text_page.get_text_range()
        finally:
            text_page.close()
    finally:
        page.close()
    return plain(text)


def plain(text: str) -> str:
    """A page's text: words that were parted at the end of a line are whole again, and no line ends in blanks."""
    whole = _SOFT_HYPHEN.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    lines = [line.strip() for line in _NO_TEXT.sub("", whole).split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


_SKIPPED = frozenset(
    ("script", "style", "noscript", "template", "svg", "iframe", "object", "canvas", "audio", "video", "head")
)
_APART = frozenset(
    "p h1 h2 h3 h4 h5 h6 ul ol dl table pre blockquote section article header footer main nav aside figure form fieldset "
    "details address".split()
)
_LINE = frozenset(("div", "li", "tr", "dt", "dd", "br", "hr", "option", "figcaption", "caption", "summary", "legend"))
_CELL = frozenset(("td", "th"))
_HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))


def html(data: bytes, _: int, most_characters: int) -> dict[str, Any]:
    """What a reader sees, below its headings. The bytes are UTF-8 by now."""
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(data.decode("utf-8", "replace"))
    title = tree.css_first("title") if tree.root is not None else None
    said = " ".join(title.text().split()) if title is not None else ""
    writing = _Writing(said or None, most_characters)
    if tree.root is not None:
        _walk(tree.root, writing)
    return {"pieces": writing.pieces(), "pages": None}


class _Writing:
    """Text as it is laid out: blanks run together, blocks stand apart, each heading begins a piece."""

    def __init__(self, title: str | None, room: int) -> None:
        self._done: list[Piece] = []
        self._parts: list[str] = []
        self._heading = title
        self._gap = ""
        self._room = room
        self._begun = 0
        """Where in the parts the heading that is being read began; only while one is."""

    def write(self, text: str, *, raw: bool) -> None:
        text = _NO_TEXT.sub("", text)
        words = text if raw else " ".join(text.split())
        if text[:1].isspace() and not raw:
            self.gap(" ")
        if words:
            self._room -= len(words) + 1
            if self._room < 0:
                raise Refused("characters")
            if self._parts:
                self._parts.append(self._gap)
            self._parts.append(words)
            self._gap = ""
            if text[-1:].isspace() and not raw:
                self.gap(" ")

    def gap(self, wanted: str) -> None:
        """The widest of what was asked for since the last word."""
        if len(wanted.replace(" ", "")) >= len(self._gap.replace(" ", "")):
            self._gap = wanted

    def heading_begins(self) -> None:
        self._end()
        self._heading = None

    def heading_ends(self) -> None:
        self._heading = " ".join("".join(self._parts).split()) or None

    def _end(self) -> None:
        if text := "".join(self._parts).strip():
            self._done.append((text, None, self._heading))
        self._parts, self._gap = [], ""

    def pieces(self) -> list[Piece]:
        self._end()
        return self._done


def _walk(root: Any, writing: _Writing) -> None:
    """Without recursion: a page may be nested deeper than Python is."""
    left: list[Any] = [root]
    preformatted = 0
    while left:
        node = left.pop()
        if isinstance(node, str):  # the end of an element
            preformatted -= node == "pre"
            _after(node, writing)
            continue
        if node.next is not None and node is not root:
            left.append(node.next)
        tag = node.tag
        if tag == "-text":
            writing.write(node.text_content or "", raw=preformatted > 0)
        elif tag not in _SKIPPED and tag is not None:
            preformatted += tag == "pre"
            _before(tag, writing)
            left.append(tag)
            if node.child is not None:
                left.append(node.child)


def _before(tag: str, writing: _Writing) -> None:
    if tag in _HEADINGS:
        writing.heading_begins()
    _space(tag, writing)


def _after(tag: str, writing: _Writing) -> None:
    if tag in _HEADINGS:
        writing.heading_ends()
    _space(tag, writing)


def _space(tag: str, writing: _Writing) -> None:
    if tag in _APART:
        writing.gap("\n\n")
    elif tag in _LINE:
        writing.gap("\n")
    elif tag in _CELL:
        writing.gap(" ")


EXTRACTS = {"pdf": pdf, "html": html}

if __name__ == "__main__":
    main(sys.argv[1:])
