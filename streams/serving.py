"""The life of a serving process: doors open, parts waited for, work, drain, end.

The doors open first, so that /health answers and /ready says what is waited for. The first SIGTERM or SIGINT drains, a
second one ends the process at once.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass

import structlog
from aiokafka.errors import KafkaConnectionError

from store import killpoint
from store.errors import StoreError
from streams import library, logging, naming, postgres, remote, runtime, waiting, watchdog, where
from streams.app import running
from streams.errors import SpineError
from streams.schedules import file as schedules
from streams.settings import Settings
from streams.spine import Spine
from streams.web import server
from streams.web.app import make_api, make_small
from streams.web.auth import check_host, check_operator
from streams.web.front import Front

log = structlog.get_logger(__name__)

_LOOK_S = 0.25
_LAST_S = 5.0
_STARTING_S = 20.0


@dataclass(frozen=True)
class Doors:
    """What a process opens. Sockets that somebody else has bound are taken over; a closed pipe of `parent` is a SIGTERM."""

    kafka: bool
    api: bool
    api_socket: socket.socket | None = None
    worker_socket: socket.socket | None = None
    parent: int | None = None

    @property
    def name(self) -> str:
        return "up" if self.kafka and self.api else "worker" if self.kafka else "web"


def serve(settings: Settings, doors: Doors) -> int:
    """Run until a signal; the exit code: 0 after a drain, 1 when a new process is needed. Raises SpineError."""
    logging.configure(settings.log_level, settings.log_format, redact=settings.redact)
    killpoint.arm(os.environ.get(killpoint.VARIABLE, ""))
    _check(settings, doors)
    settings = postgres.resolved(settings)
    bootstrap = where.bootstrap(settings) if doors.kafka else None
    with runtime.runner() as runner:
        code = runner.run(_live(settings, doors, bootstrap))
        _no_longer_than(_LAST_S, code)
        return code


def _no_longer_than(seconds: float, code: int) -> None:
    """Everything of ours is closed; a task of a library that will not be cancelled must not hold the process."""
    last = threading.Timer(seconds, os._exit, (code,))
    last.daemon = True
    last.start()


def _check(settings: Settings, doors: Doors) -> None:
    names = remote.names(settings)
    if settings.default_provider not in names:
        known = ", ".join(names)
        raise SpineError(f"GENAI_DEFAULT_PROVIDER={settings.default_provider} is not known; set it to one of {known}.")
    check_operator(settings)
    if doors.api:
        check_host(settings.api_host, "GENAI_API_HOST", settings)
    if doors.kafka:
        check_host(settings.worker_host, "GENAI_WORKER_HOST", settings)
    library.load(settings)
    naming.load(settings, names)
    schedules.load(settings)


class Stop:
    """Set by the first signal; the second ends the process."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    def listen(self) -> None:
        """Take the signals over."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signal, number)

    def _signal(self, number: int) -> None:
        if self.asked.is_set():
            log.warning("ended at once by a second signal")
            os._exit(128 + number)
        log.info("stopping: what runs is brought to its end; a second signal ends it at once")
        self.asked.set()


async def _live(settings: Settings, doors: Doors, bootstrap: str | None) -> int:
    stop = Stop()
    stop.listen()
    front = Front(settings, doors.name, bootstrap=bootstrap)
    async with contextlib.AsyncExitStack() as stack:
        await _open_doors(settings, doors, front, stack)
        if doors.parent is not None:
            orphan = asyncio.create_task(_watch_parent(doors.parent, stop), name="parent-watch")
            stack.callback(orphan.cancel)
        stack.callback(watchdog.arm(settings.stall_s).cancel)
        work = asyncio.create_task(_work(settings, doors, front, bootstrap, stop), name="work")
        asked = asyncio.create_task(stop.asked.wait())
        await asyncio.wait({work, asked}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        return await (work if work.done() or front.spine is not None else _give_up(work))


async def _give_up(work: "asyncio.Task[int]") -> int:
    """Asked to end while starting. What waits is let go; nothing is lost by it, since nothing was taken."""
    work.cancel()
    done, _ = await asyncio.wait({work}, timeout=_STARTING_S)
    if not done:
        log.warning("a part does not let go while it starts; the process ends without it")
        watchdog.dump()
        os._exit(0)
    return 0


async def _open_doors(settings: Settings, doors: Doors, front: Front, stack: contextlib.AsyncExitStack) -> None:
    if doors.api:
        sock = doors.api_socket or server.bind(settings.api_host, settings.api_port, "GENAI_API_PORT")
        await stack.enter_async_context(server.serving(make_api(front), sock))
        log.info("the API listens", url=server.address(sock))
    if doors.kafka:
        sock = doors.worker_socket or server.bind(settings.worker_host, settings.worker_port, "GENAI_WORKER_PORT")
        await stack.enter_async_context(server.serving(make_small(front), sock))
        log.info("metrics and state", url=server.address(sock))


async def _work(settings: Settings, doors: Doors, front: Front, bootstrap: str | None, stop: Stop) -> int:
    """Start again as long as the parts go away while starting; once it has run, its end is the process's."""
    while True:
        widths: dict[str, int] = {}
        await waiting.for_schema(settings, front.wait_for, may_migrate=doors.kafka)
        if bootstrap is not None:
            widths = await waiting.for_topics(settings, bootstrap, front.wait_for)
        try:
            async with _open(settings, front, bootstrap, widths) as spine:
                code = await _until(spine, stop)
                front.leaving = True
                spine.engine.draining = True
            log.info("ended", exit_code=code)
        except StoreError as error:
            if front.leaving:
                log.warning("the database is away at the end; others take over what is left", error=str(error))
                return code
            front.wait_for(f"waiting for the database ({error})")
            await asyncio.sleep(waiting.RETRY_S)
        except KafkaConnectionError as error:
            if front.leaving:
                log.warning("the broker is away at the end; results wait in the ledger", error=str(error))
                return code
            front.wait_for(f"waiting for Kafka at {bootstrap} ({error})")
            await asyncio.sleep(waiting.RETRY_S)
        else:
            return code
        finally:
            if front.leaving:
                front.close()


@contextlib.asynccontextmanager
async def _open(
    settings: Settings, front: Front, bootstrap: str | None, widths: dict[str, int]
) -> AsyncIterator[Spine]:
    async with running(settings, bootstrap=bootstrap, widths=widths) as spine:
        async with front.open(spine):
            log.info("ready", process=front.name, worker=spine.worker, bootstrap=bootstrap)
            yield spine


async def _until(spine: Spine, stop: Stop) -> int:
    """Until somebody asks, or this process can do no more."""
    dog = watchdog.Watchdog(spine, spine.settings.stall_s)
    while not stop.asked.is_set():
        if spine.keeper.dead.is_set():
            return 1
        if spine.faust is not None and spine.faust.should_stop:
            log.error("Faust has crashed; the process ends", error=repr(spine.faust.crash_reason))
            return 1
        if dog.bites():
            return 1
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.asked.wait(), _LOOK_S)
    return 0


async def _watch_parent(pipe: int, stop: Stop) -> None:
    """The pipe ends with the process that holds its other end, however that one died."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    os.set_blocking(pipe, False)

    def readable() -> None:
        with contextlib.suppress(BlockingIOError):
            if not os.read(pipe, 1024):
                ended.set()

    loop.add_reader(pipe, readable)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(pipe)
    sys.stderr.flush()
    if not stop.asked.is_set():
        log.warning("whoever supervised this process is gone; it drains and ends")
        stop.asked.set()
