"""Documents as texts with pages or sections: plain text and Markdown here, PDF and HTML in a process of their own.

Whatever is sent, this process is given back a text within bounds or one of `errors`: the other one (`extractor.py`) has
limits of memory and time that the system enforces, and one is started per call, for all of its documents.
"""

import asyncio
import base64
import binascii
import contextlib
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from agents.retrieval import extractor, markdown, sniffing
from agents.retrieval.document import Document, Piece, Section, joined
from agents.retrieval.errors import Broken, Encrypted, TookTooMuch, TooLarge, UnknownFormat, Unreadable, WithoutText

MEGABYTE = 1024 * 1024
_LONG = 100_000
"""Bytes from which decoding leaves the event loop."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one document may take. The memory is the child's, with the interpreter and its libraries in it."""

    bytes: int = 32 * MEGABYTE
    pages: int = 2_000
    characters: int = 10_000_000
    seconds: float = 30.0
    memory_mb: int = 1024


BOUNDS = Bounds()


@dataclass(frozen=True, slots=True)
class Given:
    """A document as it came. `media_type` None: its bytes and its name say what it is."""

    name: str
    data: bytes | str
    media_type: str | None = None


def from_base64(name: str, content: str, media_type: str | None = None) -> Given:
    """Bytes that came in JSON. Raises `Broken`."""
    try:
        return Given(name, base64.b64decode("".join(content.split()), validate=True), media_type)
    except (binascii.Error, ValueError):
        raise Broken(name, "is not base64; send its bytes encoded with it, or its text as it is") from None


async def read(given: Sequence[Given], bounds: Bounds = BOUNDS) -> list[Document]:
    """One per document, in their order. Raises `Unreadable` for the first of them that cannot be read."""
    found: dict[int, Document] = {}
    apart: list[tuple[int, Given, str]] = []
    for number, one in enumerate(given):
        kind = _kind(one, bounds)
        if kind in {sniffing.PDF, sniffing.HTML}:
            apart.append((number, one, kind))
        elif len(one.data) > _LONG:
            found[number] = await asyncio.to_thread(_here, one, kind, bounds)
        else:
            found[number] = _here(one, kind, bounds)
    if apart:
        found |= await _apart(apart, bounds)
    return [found[number] for number in range(len(given))]


def _kind(one: Given, bounds: Bounds) -> str:
    data = one.data.encode(errors="replace") if isinstance(one.data, str) and len(one.data) < 1024 else one.data
    if len(data) > bounds.bytes:
        raise TooLarge(
            one.name,
            f"has {_megabytes(len(data))}, {_megabytes(bounds.bytes)} are the most (GENAI_DOCUMENT_MAX_BYTES); send it in parts",
            most_bytes=bounds.bytes,
        )
    if isinstance(data, str):
        return sniffing.sniff(data[:1024].encode(errors="replace"), one.media_type, one.name) or _unknown(one)
    kind = sniffing.sniff(data, one.media_type, one.name) or _unknown(one)
    if kind != sniffing.PDF and isinstance(one.data, bytes) and (words := sniffing.foreign(data)):
        raise UnknownFormat(one.name, f"{words}; text, Markdown, HTML and PDF are read: save it as one of these")
    if kind == sniffing.PDF and (isinstance(one.data, str) or b"%PDF-" not in data[:1024]):
        raise Broken(
            one.name, "is said to be a PDF and is none; send a PDF's bytes, in base64 where they stand in JSON"
        )
    return kind


def _unknown(one: Given) -> str:
    raise UnknownFormat(
        one.name,
        f"is said to be {one.media_type!r}; text, Markdown, HTML and PDF are read: {', '.join(sniffing.FORMATS)}",
        media_type=one.media_type,
    )


def _megabytes(count: int) -> str:
    return f"{count / MEGABYTE:.1f} MB"


def _here(one: Given, kind: str, bounds: Bounds) -> Document:
    text = one.data if isinstance(one.data, str) else sniffing.decode(one.data, one.media_type)
    text = text.replace("\0", "")
    if len(text) > bounds.characters:
        raise _too_long(one.name, bounds)
    if not text.strip():
        raise WithoutText(one.name, "is empty; send one with text in it")
    if kind == sniffing.MARKDOWN:
        return markdown.read(one.name, text)
    return Document(one.name, kind, text, (Section(0, len(text)),))


def _too_long(name: str, bounds: Bounds) -> TooLarge:
    return TooLarge(
        name,
        f"holds more than {bounds.characters:,} characters (GENAI_DOCUMENT_MAX_CHARACTERS); send it in parts",
        most_characters=bounds.characters,
    )


async def _apart(asked: Sequence[tuple[int, Given, str]], bounds: Bounds) -> dict[int, Document]:
    """One child for all of them, one document after the other."""
    child = await _begin(bounds, len(asked))
    found = {}
    try:
        for number, one, kind in asked:
            line = await _extracted(child, _packed(one, kind, bounds), one.name, bounds)
            found[number] = _document(one, kind, orjson.loads(line), bounds)
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()
    return found


async def _begin(bounds: Bounds, documents: int) -> asyncio.subprocess.Process:
    """None of the service's environment, which holds its keys; no folder of ours on its path."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        str(Path(extractor.__file__)),
        str(bounds.memory_mb),
        str(math.ceil(bounds.seconds * documents) + 1),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
        limit=bounds.characters * _WIDEST + MEGABYTE,
    )


_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT")
_WIDEST = 6
"""Bytes of a character in JSON."""


async def _extracted(child: asyncio.subprocess.Process, packed: bytes, name: str, bounds: Bounds) -> bytes:
    """The child's line about this document."""
    assert child.stdin is not None and child.stdout is not None
    try:
        async with asyncio.timeout(bounds.seconds):
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it died; so its line is missing
                child.stdin.write(packed)
                await child.stdin.drain()
            line = await child.stdout.readline()
    except TimeoutError:
        raise TookTooMuch(
            name,
            f"was not read within {bounds.seconds:g} s (GENAI_DOCUMENT_TIMEOUT_S); save it anew in a viewer, or send it in parts",
            seconds=bounds.seconds,
        ) from None
    if not line.endswith(b"\n"):
        raise TookTooMuch(
            name,
            f"could not be read: its reader died of it, of {bounds.memory_mb} MB (GENAI_DOCUMENT_MEMORY_MB) or of a fault in it; "
            "save it anew in a viewer, or send it in parts",
            memory_mb=bounds.memory_mb,
        )
    return line


def _packed(one: Given, kind: str, bounds: Bounds) -> bytes:
    if kind == sniffing.HTML:
        text = one.data if isinstance(one.data, str) else sniffing.decode(one.data, one.media_type, html=True)
        data, name = text.encode(errors="replace"), "html"
    else:
        assert isinstance(one.data, bytes)
        data, name = one.data, "pdf"
    told = {"kind": name, "bytes": len(data), "pages": bounds.pages, "characters": bounds.characters}
    return orjson.dumps(told) + b"\n" + data


def _document(one: Given, kind: str, told: dict[str, Any], bounds: Bounds) -> Document:
    if "error" in told:
        raise _refused(one.name, told, bounds)
    pieces = [Piece(text, page, heading) for text, page, heading in told["pieces"]]
    document = joined(one.name, kind, pieces, _notes(one.name, told))
    if document.text:
        return document
    if kind == sniffing.HTML:
        raise WithoutText(one.name, "shows no text; send the page as it is once its scripts have run")
    count = told["pages"]
    pages = f"{count} page{'s' if count != 1 else ''} and no text on {'them' if count != 1 else 'it'}"
    raise WithoutText(
        one.name, f"has {pages}: it holds pictures; run text recognition (OCR) over it first", pages=told["pages"]
    )


def _refused(name: str, told: dict[str, Any], bounds: Bounds) -> Unreadable:
    match told["error"]:
        case "encrypted":
            return Encrypted(name, "asks for a password; remove it in a viewer and send the document again")
        case "pages":
            most = f"{bounds.pages:,} are the most (GENAI_DOCUMENT_MAX_PAGES); send it in parts"
            return TooLarge(name, f"has {told['pages']:,} pages, {most}", pages=told["pages"], most_pages=bounds.pages)
        case "characters":
            return _too_long(name, bounds)
        case "memory":
            most = f"{bounds.memory_mb} MB of memory (GENAI_DOCUMENT_MEMORY_MB)"
            return TookTooMuch(name, f"takes more than {most} to read; send it in parts", memory_mb=bounds.memory_mb)
    said = f" ({told['said']})" if told.get("said") else ""
    return Broken(name, f"is a broken PDF{said}; open it in a viewer, save it anew and send that")


def _notes(name: str, told: dict[str, Any]) -> list[str]:
    """What is missing in the text of a document that has some."""
    blank = [page for text, page, _ in told["pieces"] if page is not None and not text.strip()]
    found = []
    if blank:
        found.append(f"no text was found on {_pages(blank)} of {name!r}; pictures are not read")
    if told.get("unread"):
        found.append(f"{_pages(told['unread'])} of {name!r} could not be opened")
    return found


def _pages(numbers: Sequence[int]) -> str:
    shown = ", ".join(str(number) for number in numbers[:_SHOWN]) + (" …" if len(numbers) > _SHOWN else "")
    return f"page{'s' if len(numbers) > 1 else ''} {shown}"


_SHOWN = 10
