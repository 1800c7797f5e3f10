"""Where embeddings of passages are kept and the nearest are looked for: a port, and the ledger's database behind it."""

import asyncio
import heapq
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Protocol

from agents.retrieval import blocks
from store.database import Database
from store.passages import kept
from store.passages.kept import Batch

Found = tuple[bytes, int, float]
"""A batch's key, the number of the passage in it, and the cosine."""
PAGE = 256
"""Batches that are read at a time."""
_PUT = 16


class Index(Protocol):
    """Batches of passages by the digest of what they are of (`store.passages.kept.key`). Raises `StoreError`.

    What was put may be gone after months in which nobody looked for it: ask `known` before `nearest`.
    """

    async def known(self, keys: Sequence[bytes]) -> set[bytes]:
        """Those of these that are kept."""

    async def put(self, tenant: str, model: str, batches: Mapping[bytes, Sequence[Sequence[float]]]) -> None:
        """What is kept already stays as it is."""

    async def nearest(self, keys: Sequence[bytes], query: Sequence[float], most: int) -> list[Found]:
        """Best first. All of them have as many dimensions as the query."""


class _InDatabase:
    def __init__(self, database: Database) -> None:
        self.database = database

    async def known(self, keys: Sequence[bytes]) -> set[bytes]:
        found: set[bytes] = set()
        for start in range(0, len(keys), PAGE):
            page = keys[start : start + PAGE]
            found |= await self.database.read(partial(kept.known, keys=page))
            if await self.database.read(partial(kept.stale, keys=page)):
                await self.database.write(partial(kept.touch, keys=page))
        return found

    async def put(self, tenant: str, model: str, batches: Mapping[bytes, Sequence[Sequence[float]]]) -> None:
        made = [
            Batch(key, tenant, model, len(vectors), len(vectors[0]), self._written(vectors))
            for key, vectors in batches.items()
        ]
        for start in range(0, len(made), _PUT):
            await self.database.write(partial(kept.put, batches=made[start : start + _PUT]))

    def _written(self, vectors: Sequence[Sequence[float]]) -> Sequence[Sequence[float]] | bytes:
        return blocks.packed(vectors)


class InProcess(_InDatabase):
    """The database keeps the bytes, and this process compares them: all of them, a page at a time."""

    async def nearest(self, keys: Sequence[bytes], query: Sequence[float], most: int) -> list[Found]:
        """While one page is compared the next is read; each has some megabytes."""
        found: list[list[Found]] = []
        comparing: asyncio.Task[list[Found]] | None = None
        for start in range(0, len(keys), PAGE):
            page = await self.database.read(partial(kept.blocks, keys=keys[start : start + PAGE]))
            if comparing is not None:
                found.append(await comparing)
            comparing = asyncio.create_task(asyncio.to_thread(_best, page, query, most)) if page else None
        if comparing is not None:
            found.append(await comparing)
        return heapq.nlargest(most, (each for page in found for each in page), key=lambda each: each[2])


def _best(page: Sequence[tuple[bytes, int, bytes]], query: Sequence[float], most: int) -> list[Found]:
    found = blocks.best([(size, data) for _, size, data in page], query, most)
    return [(page[block][0], number, cosine) for block, number, cosine in found]


class ByPgvector(_InDatabase):
    """The database compares: all of them too, so nothing is missed."""

    async def nearest(self, keys: Sequence[bytes], query: Sequence[float], most: int) -> list[Found]:
        return await self.database.read(partial(kept.nearest, keys=keys, query=query, most=most))

    def _written(self, vectors: Sequence[Sequence[float]]) -> Sequence[Sequence[float]] | bytes:
        return blocks.units(vectors)  # two bytes hold nothing above 65,504


async def opened(database: Database) -> Index:
    """By pgvector where the database has it."""
    return ByPgvector(database) if await database.read(kept.has_vectors) else InProcess(database)
