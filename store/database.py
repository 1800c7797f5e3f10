"""One way to run a transaction on both databases.

A transaction is a plain function of a SQLAlchemy `Connection`. On SQLite it runs in the one writing thread, on
PostgreSQL inside `AsyncConnection.run_sync`, so that the same function serves both and no statement hops threads.
"""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection, Double, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, InterfaceError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from store.errors import Away, BadData, BadUrl, Full, Met, TooLong
from store.quick import QuickConnection, quick

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

T = TypeVar("T")
Work = Callable[[Connection], T]

_EPOCH = "extract(epoch FROM statement_timestamp())::double precision"  # stable: an index can be asked for it
_DB_NOW = text(f"SELECT {_EPOCH}")
IDLE_S = 10.0
"""How long a transaction may wait for its own process on PostgreSQL. A process that is stopped in the middle of one would else
hold its rows for as long as it stands, and nobody could take over from it.
"""

REPORTS = 2
"""Reports at a time on PostgreSQL; on SQLite there is one thread for them."""
REPORT_S = 30.0
_REPORT_BOUND = text(f"SET LOCAL statement_timeout = {REPORT_S * 1000:.0f}")
_CANCELED = "57014"


def parse_url(url: str) -> URL:
    """`sqlite:///…` and `postgresql://…` as people write them; the driver is ours to choose. Raises `BadUrl`."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise BadUrl("GENAI_DATABASE_URL is no address of a database; write sqlite:///path or postgresql://…") from None
    kind = parsed.drivername.partition("+")[0]
    if kind == "sqlite":
        return _sqlite_url(parsed)
    if kind in {"postgresql", "postgres"}:
        if unknown := sorted(parsed.query.keys() - _PG_PARAMETERS):
            raise BadUrl(
                f"GENAI_DATABASE_URL has {', '.join(unknown)} behind its '?'; only {' and '.join(sorted(_PG_PARAMETERS))} work there"
            )
        return parsed.set(drivername="postgresql+asyncpg")
    raise BadUrl(
        f"GENAI_DATABASE_URL names {kind!r}; SQLite (sqlite:///path) and PostgreSQL (postgresql://…) are what works"
    )


_PG_PARAMETERS = frozenset({"host", "sslmode"})


def _sqlite_url(parsed: URL) -> URL:
    if not parsed.database or parsed.database == ":memory:" or parsed.query:
        raise BadUrl(
            "GENAI_DATABASE_URL names no file: a ledger in memory would be gone with its process; write sqlite:///path"
        )
    return parsed.set(drivername="sqlite", database=str(Path(parsed.database).expanduser()))


def now(conn: Connection) -> float:
    """Seconds since 1970: the database's clock on PostgreSQL, so that workers with wrong clocks agree."""
    if conn.dialect.name == "sqlite":
        return time.time()
    return float(conn.execute(_DB_NOW).scalar_one())


# a value that cannot be written down raises Python's own
_DRIVER_SAYS: tuple[type[BaseException], ...] = (
    DBAPIError,
    StatementError,
    PoolTimeout,
    OSError,
    TimeoutError,
    ValueError,
    OverflowError,
)


class clock(FunctionElement[float]):  # noqa: N801 - written as a function of SQL
    """`now` as a column, for a statement that is sent anyway; null where the process's clock is the one that counts."""

    name = "clock"
    type = Double()
    inherit_cache = True


@compiles(clock, "sqlite")
def _no_clock(*_: Any, **__: Any) -> str:
    return "NULL"


@compiles(clock, "postgresql")
def _clock(*_: Any, **__: Any) -> str:
    return _EPOCH


class Database:
    """Transactions on one database. Whoever made it closes it."""

    def __init__(self, url: URL) -> None:
        self.url = url
        self.is_sqlite = url.drivername == "sqlite"
        self._says = _DRIVER_SAYS
        self._write: _Line | None = None
        self._read: _Line | None = None
        self._report: _Line | None = None
        self._reports = asyncio.Semaphore(REPORTS)
        self.sync: Engine | None = None
        self.asynchronous: AsyncEngine | None = None
        if self.is_sqlite:
            self.sync = sqlite_engine(url)
            self.sync._connection_cls = QuickConnection  # noqa: SLF001 - the hook that SQLAlchemy's own mock engine uses
            self._write = _Line(self.sync, "IMMEDIATE", 1, "ledger-write")
            self._read = _Line(self.sync, "DEFERRED", 4, "ledger-read")
            self._report = _Line(self.sync, "DEFERRED", 1, "ledger-report")
        else:
            import asyncpg
            from sqlalchemy.ext.asyncio import create_async_engine  # with the ORM behind it: a tenth of a second

            self._says = (*_DRIVER_SAYS, asyncpg.PostgresError, asyncpg.InterfaceError)  # its own, of connecting
            self.asynchronous = create_async_engine(
                pg_url(url),
                pool_size=8,
                max_overflow=8,
                pool_use_lifo=True,  # the one that was used last: its statements are prepared, its pages are read
                pool_reset_on_return=None,
                hide_parameters=True,
                connect_args=pg_args(url) | {"prepared_statement_cache_size": 500},
            )
            self.asynchronous.sync_engine._connection_cls = QuickConnection  # noqa: SLF001
            event.listen(self.asynchronous.sync_engine, "commit", QuickConnection.flush)
            event.listen(self.asynchronous.sync_engine, "rollback", QuickConnection.forget)

    async def write(self, work: Work[T]) -> T:
        """Run `work` in one transaction with full durability; returned means committed. Raises `StoreError`."""
        return await self._run(work, self._write)

    async def read(self, work: Work[T]) -> T:
        """Run `work` in one transaction beside the writer."""
        return await self._run(work, self._read)

    async def report(self, work: Work[T]) -> T:
        """A `read` that may go through a million rows: few at a time, in a lane of their own, so that nothing else waits for
        them. Raises `StoreError`; on PostgreSQL `TooLong` after `REPORT_S`.
        """
        if self._report is not None:
            return await self._run(work, self._report)

        def bounded(conn: Connection) -> T:
            conn.execute(_REPORT_BOUND)
            return work(conn)

        try:
            async with self._reports:
                return await self._run(bounded, None)
        except Away as error:
            if getattr(getattr(error.__cause__, "orig", None), "sqlstate", None) == _CANCELED:
                raise TooLong(f"{REPORT_S:g} s") from error
            raise

    async def _run(self, work: Work[T], line: "_Line | None") -> T:
        try:
            if line is not None:
                return await asyncio.get_running_loop().run_in_executor(line.threads, line.run, work)
            assert self.asynchronous is not None
            async with self.asynchronous.begin() as conn:
                return await conn.run_sync(work)
        except self._says as error:
            raise translate(error) from error

    async def aclose(self) -> None:
        """Wait for what runs, then let go of every connection."""
        if self.sync is not None:
            for line in (self._write, self._read, self._report):
                assert line is not None
                await asyncio.to_thread(line.close)
            self.sync.dispose()
        if self.asynchronous is not None:
            await self.asynchronous.dispose()


class _Line:
    """Threads that run transactions of one kind on SQLite. Each keeps its connection from one to the next: to get it from the
    pool and to give it back takes as long as five statements. One that has failed is not used again.
    """

    def __init__(self, engine: Engine, begin: str, threads: int, name: str) -> None:
        self.threads = ThreadPoolExecutor(threads, name)
        self._engine, self._begin = engine, begin
        self._own = threading.local()
        self._all: set[Connection] = set()

    def run(self, work: Work[T]) -> T:
        """One transaction, in one of the threads."""
        conn: Connection = getattr(self._own, "conn", None) or self._opened()
        try:
            with conn.begin():
                return work(conn)
        except BaseException:
            self._own.conn = None
            self._all.discard(conn)
            conn.close()
            raise

    def close(self) -> None:
        """When what runs has ended."""
        self.threads.shutdown()
        while self._all:
            self._all.pop().close()

    def _opened(self) -> Connection:
        conn = self._engine.connect().execution_options(genai_begin=self._begin)
        self._own.conn = conn
        self._all.add(conn)
        return conn


_BEGIN = {kind: text(f"BEGIN {kind}") for kind in ("IMMEDIATE", "DEFERRED")}
quick(*_BEGIN.values())


def sqlite_engine(url: URL) -> Engine:
    """WAL, full durability, and a real BEGIN (the driver's own is late and implicit)."""
    if url.database:
        try:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadUrl(f"the folder of GENAI_DATABASE_URL cannot be made: {error}") from error
    engine = create_engine(
        url,
        connect_args={"check_same_thread": False, "timeout": 5.0, "cached_statements": 512},
        pool_size=8,
        pool_use_lifo=True,  # as on PostgreSQL
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def _connect(raw: sqlite3.Connection, _record: Any) -> None:
        raw.isolation_level = None
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "busy_timeout=5000",
            "cache_size=-16384",
            "temp_store=MEMORY",
        ):
            raw.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(conn: Connection) -> None:
        conn.execute(_BEGIN[conn.get_execution_options().get("genai_begin", "DEFERRED")])

    return engine


def pg_url(url: URL) -> URL:
    """Asyncpg takes a Unix socket's folder as `host` among the arguments, not in the URL's query."""
    return url.difference_update_query(["host", "sslmode"])


def pg_args(url: URL) -> dict[str, Any]:
    """Arguments for `asyncpg.connect`: no JIT (it costs 100 ms on our first statements), and a bound on waiting."""
    args: dict[str, Any] = {
        "timeout": 5,
        "command_timeout": 60,
        "server_settings": {
            "jit": "off",
            "application_name": "genai-spine",
            "idle_in_transaction_session_timeout": f"{IDLE_S * 1000:.0f}",
        },
    }
    if "host" in url.query:
        args["host"] = url.query["host"]
    if "sslmode" in url.query:
        args["ssl"] = url.query["sslmode"]
    return args


_TOO_LONG = "54000"
"""Program limit exceeded: names that are too long, together, for an index."""
_MET = frozenset({"40001", "40P01"})
"""Serialization failure and deadlock: one of two gave way."""


def translate(error: BaseException) -> Away | BadData:
    """A driver's error in the store's words."""
    cause = getattr(error, "orig", None) or error
    words = str(cause).splitlines()[0] if str(cause) else type(cause).__name__
    if isinstance(error, (ValueError, OverflowError)):  # no driver's error: a value that cannot be written down
        return BadData(words)
    sqlstate = getattr(cause, "sqlstate", None) or ""
    if isinstance(error, IntegrityError) or sqlstate in _MET:
        return Met(words)
    if ("full" in words and "disk" in words) or sqlstate == "53100":
        return Full(words)
    if (
        sqlstate.startswith("22")
        or sqlstate == _TOO_LONG
        or isinstance(error, (DataError,))
        or isinstance(cause, (ValueError, OverflowError))
    ):
        return BadData(words)
    if isinstance(error, InterfaceError) and sqlstate == "" and "invalid" in words:
        return BadData(words)
    return Away(words)
