"""Items of a run as JSON Lines, a chunk at a time: never the whole."""

import asyncio
import json
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, cast

Item = str | Mapping[str, Any]
"""A text, or an object of input fields."""
Source = Path | IO[bytes] | Iterable[Item]
"""A file of JSON Lines by its path or opened, or the items themselves."""
_CHUNK = 64 * 1024


def chunks(source: Source) -> Iterator[bytes]:
    """What goes over the wire."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            yield from _read(file)
    elif hasattr(source, "read"):
        yield from _read(cast(IO[bytes], source))
    else:
        waiting = bytearray()
        for item in source:
            waiting += _line(item)
            if len(waiting) >= _CHUNK:
                yield bytes(waiting)
                waiting.clear()
        if waiting:
            yield bytes(waiting)


async def chunks_async(source: Source | AsyncIterable[Item]) -> AsyncIterator[bytes]:
    """The same, of items that come as they come too; files are read in a thread."""
    if isinstance(source, AsyncIterable):
        async for item in source:
            yield _line(item)
        return
    found = chunks(source)
    while (chunk := await asyncio.to_thread(next, found, b"")) != b"":
        yield chunk


def _read(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk


def _line(item: Item) -> bytes:
    return json.dumps(item if isinstance(item, str) else dict(item), ensure_ascii=False).encode() + b"\n"
