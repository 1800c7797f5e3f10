"""Which format a document has: by its bytes where they say so, else by its media type, else by its name, else text."""

import re
from pathlib import PurePath

TEXT, MARKDOWN, HTML, PDF = "text/plain", "text/markdown", "text/html", "application/pdf"
FORMATS = (TEXT, MARKDOWN, HTML, PDF)

_BY_TYPE = {
    "text/plain": TEXT,
    "text/markdown": MARKDOWN,
    "text/x-markdown": MARKDOWN,
    "text/html": HTML,
    "application/xhtml+xml": HTML,
    "application/pdf": PDF,
    "application/x-pdf": PDF,
}
_BY_ENDING = {
    ".txt": TEXT,
    ".text": TEXT,
    ".log": TEXT,
    ".csv": TEXT,
    ".md": MARKDOWN,
    ".markdown": MARKDOWN,
    ".html": HTML,
    ".htm": HTML,
    ".xhtml": HTML,
    ".pdf": PDF,
}
_FOREIGN = (
    (b"PK\x03\x04", "is a ZIP archive, perhaps a Word, Excel or OpenDocument file"),
    (b"\xd0\xcf\x11\xe0", "is an old Word, Excel or PowerPoint file"),
    (b"\x89PNG", "is a PNG picture"),
    (b"\xff\xd8\xff", "is a JPEG picture"),
    (b"GIF8", "is a GIF picture"),
    (b"\x1f\x8b", "is compressed with gzip"),
    (b"7z\xbc\xaf", "is a 7z archive"),
    (b"{\\rtf", "is an RTF file"),
)
_HEAD = 1024
"""Bytes within which a PDF says that it is one; some begin with rubbish."""
_HTML = re.compile(rb"\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL)
_BOMS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


def sniff(data: bytes, media_type: str | None, name: str) -> str | None:
    """One of `FORMATS`; None: a media type that is none of them, on bytes that do not say better."""
    if b"%PDF-" in data[:_HEAD]:
        return PDF
    told = (media_type or "").partition(";")[0].strip().lower()
    if told and told != "application/octet-stream":
        return _BY_TYPE.get(told, TEXT if told.startswith("text/") else None)
    by_name = _BY_ENDING.get(PurePath(name).suffix.lower())
    if by_name is not None:
        return by_name
    return HTML if _HTML.match(data[:_HEAD].removeprefix(_BOMS[0])) else TEXT


def foreign(data: bytes) -> str | None:
    """What these bytes are, in words, if they are something that nobody reads here as text."""
    for magic, words in _FOREIGN:
        if data.startswith(magic):
            return words
    if data.startswith(_BOMS):
        return None
    return "holds bytes that are no text" if b"\0" in data[: 64 * _HEAD] else None


_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)


def decode(data: bytes, media_type: str | None, *, html: bool = False) -> str:
    """As its mark, its media type or its own `<meta>` says; else UTF-8; else Windows' Latin, which takes any byte."""
    if data.startswith(_BOMS[1:]):
        return data.decode("utf-16", errors="replace")
    data = data.removeprefix(_BOMS[0])
    head = data[:_HEAD].decode("ascii", errors="replace") if html else ""
    for said in (_CHARSET.search(media_type or ""), _CHARSET.search(head)):
        if said is not None:
            return _as(data, said[1])
    return _as(data, "utf-8")


_LATIN = "cp1252"
_ENCODINGS = re.compile(
    r"utf-?8|us-ascii|iso-?8859-?\d+|latin-?\d|windows-125\d|cp125\d|cp932|shift[_-]?jis|euc-(?:jp|kr)|gb2312|gbk|gb18030|big5|koi8-[ru]",
    re.IGNORECASE,
)


def _as(data: bytes, encoding: str) -> str:
    """An encoding that is unknown, or wrong of these bytes, counts as not said."""
    for tried in (encoding if _ENCODINGS.fullmatch(encoding) else "utf-8", "utf-8"):
        try:
            return data.decode("cp1252" if tried.lower() in {"iso-8859-1", "latin-1", "latin1"} else tried)
        except (UnicodeDecodeError, LookupError):
            continue
    return data.decode(_LATIN, errors="replace")
