"""Items of a run as they are kept until they are requests: JSON Lines, packed, some hundred at a time."""

import hashlib
import zlib
from codecs import BOM_UTF8
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any

import orjson

from schemas.depth import MAX_DEPTH, is_deeper, may_be_deeper
from store.runs.write import Part

MOST = 500
"""Items of one part: what one accept takes."""
MOST_BYTES = 4 * 1024 * 1024


class BadLine(ValueError):
    """No item can be made of it: it fails alone. Its words are said behind `line 731`. `told`: what of it could be read."""

    def __init__(self, code: str, words: str, told: Any = None, param: str | None = None) -> None:
        super().__init__(words)
        self.code, self.told, self.param = code, told, param


def told(line: bytes | None, most: int) -> Any:
    """What stands on an uploaded line. Raises `BadLine`."""
    if line is None:
        words = f" has more than {most} bytes; split the text, or raise GENAI_REQUEST_MAX_BYTES"
        raise BadLine("line_too_long", words)
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise BadLine("invalid_json_line", f" is not JSON ({error})") from error
    if may_be_deeper(line, MAX_DEPTH) and is_deeper(found, MAX_DEPTH):
        words = f" is nested too deeply; send at most {MAX_DEPTH} levels"
        raise BadLine("line_too_deep", words, found)
    return found


def packed(first: int, lines: Iterable[bytes], most: int = MOST) -> Iterator[Part]:
    """Parts of at most `most` items and about 4 MB."""
    waiting: list[bytes] = []
    size = 0
    for line in lines:
        waiting.append(line)
        size += len(line)
        if len(waiting) == most or size > MOST_BYTES:
            yield _part(first, waiting)
            first, waiting, size = first + len(waiting), [], 0
    if waiting:
        yield _part(first, waiting)


def _part(first: int, lines: list[bytes]) -> Part:
    return Part(first, len(lines), zlib.compress(b"\n".join(lines), 1))


def lines_of(body: bytes) -> list[bytes]:
    """What `packed` packed."""
    return zlib.decompress(body).split(b"\n")


def line(record: Mapping[str, Any]) -> bytes:
    """One item as its request will be. Raises TypeError for what JSON cannot carry."""
    return orjson.dumps(record)


def broken(words: str, metadata: Mapping[str, Any] | None = None, details: Mapping[str, Any] | None = None) -> bytes:
    """An item that is none: it fails with these words, the others run. `details`: of its error."""
    more = {"metadata": metadata, "details": details}
    return orjson.dumps({"broken": words} | {name: value for name, value in more.items() if value is not None})


def digest() -> hashlib.blake2b:
    """Of an upload, as it comes."""
    return hashlib.blake2b(digest_size=16)


async def digested(chunks: AsyncIterator[bytes], into: hashlib.blake2b) -> AsyncIterator[bytes]:
    """The same chunks, and `into` has seen them."""
    async for chunk in chunks:
        into.update(chunk)
        yield chunk


async def split(chunks: AsyncIterator[bytes], most: int) -> AsyncIterator[tuple[int, bytes | None]]:
    """The lines of an upload with their numbers, from 1, blank ones left out, as is the mark of UTF-8 that some editors begin
    a file with; None for one of more than `most` bytes, of which no more is ever kept.
    """
    kept, number, too_long = bytearray(), 1, False
    async for chunk in chunks:
        *whole, rest = chunk.split(b"\n")
        for piece in whole:
            if too_long or len(kept) + len(piece) > most:
                yield number, None
            elif found := _stripped(number, bytes(kept + piece)):
                yield number, found
            kept, number, too_long = bytearray(), number + 1, False
        if too_long or len(kept) + len(rest) > most:
            kept, too_long = bytearray(), True
        else:
            kept += rest
    if too_long:
        yield number, None
    elif found := _stripped(number, bytes(kept)):
        yield number, found


def _stripped(number: int, line: bytes) -> bytes:
    return (line.removeprefix(BOM_UTF8) if number == 1 else line).strip()
