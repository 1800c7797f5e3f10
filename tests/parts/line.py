"""A line to PostgreSQL that can be cut around a commit: its outcome is then unknown to who asked for it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import make_url

_COMMIT = b"COMMIT;"
_SOCKET = ".s.PGSQL.5432"


@dataclass
class Line:
    """`cut(n)` says what happens to the n-th commit: None nothing, "before" it is never sent, "after" it is made and not
    told. `url` is the database's address through this line.
    """

    url: str
    cut: Callable[[int], str | None]
    commits: int = 0
    cuts: list[str] = field(default_factory=list)

    async def carry(self, there: asyncio.StreamReader, back: asyncio.StreamWriter, to: "Target") -> None:
        async with to() as (answers, server):
            answering = asyncio.create_task(_pump(answers, back))
            try:
                while data := await there.read(65536):
                    if (how := self._how(data)) is not None:
                        self.cuts.append(how)
                        if how == "after":
                            answering.cancel()
                            await asyncio.wait([answering])
                            server.write(data)
                            await answers.read(65536)  # it was committed
                        return
                    server.write(data)
                    await server.drain()
            except OSError:
                return
            finally:
                answering.cancel()
                back.transport.abort()

    def _how(self, data: bytes) -> str | None:
        if _COMMIT not in data:
            return None
        self.commits += 1
        return self.cut(self.commits)


Target = Callable[[], contextlib.AbstractAsyncContextManager[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
        target.close()


@contextlib.asynccontextmanager
async def line(database: str, folder: Path, cut: Callable[[int], str | None]) -> AsyncIterator[Line]:
    """`folder` holds the line's socket; its path must be short."""
    url = make_url(database)

    @contextlib.asynccontextmanager
    async def target() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        host = url.query.get("host")
        if isinstance(host, str):
            reader, writer = await asyncio.open_unix_connection(f"{host}/{_SOCKET}")
        else:
            reader, writer = await asyncio.open_connection(url.host, url.port or 5432)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    through = url.set(host=None, port=None).update_query_dict({"host": str(folder)})
    made = Line(through.render_as_string(hide_password=False), cut)
    server = await asyncio.start_unix_server(lambda r, w: made.carry(r, w, target), folder / _SOCKET)
    async with server:
        yield made
