"""`genai-spine up`: the embedded broker and one child process, supervised.

The child is worker and web in one: one engine behind both doors. Its two sockets are bound here and handed to it, so the
addresses stay over its restarts, and callers wait in the backlog meanwhile.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import structlog

from providers import http
from providers.errors import ProviderError
from streams import logging, postgres, runtime, security, upfile
from streams.broker import control
from streams.errors import SpineError
from streams.settings import Settings
from streams.upfile import Running
from streams.web import server
from streams.web.auth import check_host

log = structlog.get_logger(__name__)

Tell = Callable[[str], None]

_CONFIG = 78
"""A child that ends so cannot be helped by another start."""

_LOOK_S = 1.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 30.0
_STEADY_S = 60.0
_ASK_S = 2.0


def up(settings: Settings) -> int:
    """Until a signal; the exit code. Raises SpineError."""
    logging.configure(settings.log_level, settings.log_format, redact=settings.redact)
    with runtime.runner() as runner:
        return runner.run(_up(settings))


async def _up(settings: Settings) -> int:
    stop = asyncio.Event()
    async with started(settings, log.info, stop) as supervised:
        await supervised.first_ready()
        await stop.wait()
        log.info("stopping: what runs is brought to its end; a second signal ends it at once")
    return supervised.exit_code


def child(settings: Settings, api_fd: int, worker_fd: int) -> int:
    """The supervised process, with the sockets that its supervisor has bound."""
    from streams.serving import Doors, serve  # the supervisor needs neither an engine nor Faust

    api, worker = socket.socket(fileno=api_fd), socket.socket(fileno=worker_fd)
    try:
        return serve(settings, Doors(kafka=True, api=True, api_socket=api, worker_socket=worker, parent=0))
    except SpineError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the supervisor hands its own standard error down
        return _CONFIG


@contextlib.asynccontextmanager
async def started(
    settings: Settings, tell: Tell, stop: asyncio.Event, child_log: Path | None = None
) -> AsyncIterator["Supervised"]:
    """Everything runs inside; leaving it, the child is drained, then what was started here is stopped.

    `stop` is set by SIGTERM, SIGINT, and by a child that cannot be helped. Raises SpineError.
    """
    check_host(settings.api_host, "GENAI_API_HOST", settings)
    check_host(settings.worker_host, "GENAI_WORKER_HOST", settings)
    security.of(settings)
    with upfile.locked(settings) as file:
        settings = await with_provider(settings, tell)
        supervised = Supervised(settings, tell, stop, child_log)
        supervised.listen()
        try:
            await supervised.start()
            file.write(supervised.running())
            yield supervised
        finally:
            await supervised.aclose()


async def with_provider(settings: Settings, tell: Tell) -> Settings:
    """The built-in model when nobody has chosen a provider and no Ollama answers; only `up` and `demo` do that."""
    if "default_provider" in settings.model_fields_set or settings.default_provider != "ollama":
        return settings
    if await ollama_answers(settings):
        return settings
    tell(
        f"No Ollama answers at {', '.join(map(http.origin, settings.ollama_nodes()))}, so the small built-in model answers "
        "(SmolLM2-135M: for trying things out). Start Ollama, or set GENAI_DEFAULT_PROVIDER, for real work."
    )
    return settings.model_copy(update={"default_provider": "local"})


async def ollama_answers(settings: Settings) -> bool:
    """Whether any of the nodes does."""

    async def one(url: str) -> bool:
        at = http.address(url)
        try:
            reply = await http.send(client, "GET", f"{at.base}/api/version", timeout_s=_ASK_S, headers=at.headers)
        except ProviderError:
            return False
        return reply.is_success

    async with http.client() as client:
        return any(await asyncio.gather(*map(one, settings.ollama_nodes())))


@dataclass
class Supervised:
    """The broker and the child. `start` and `aclose` belong to `started`."""

    settings: Settings
    tell: Tell
    stop: asyncio.Event
    child_log: Path | None
    exit_code: int = 0
    bootstrap: str = ""
    process: asyncio.subprocess.Process | None = None
    _own_broker: bool = False
    _own_database: bool = False
    _ending: asyncio.Event = field(default_factory=asyncio.Event)
    _sockets: list[socket.socket] = field(default_factory=list)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _log: IO[bytes] | None = None

    def listen(self) -> None:
        """Take the signals over: the first asks, the second kills the child and ends this process."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signal, number)

    def _signal(self, number: int) -> None:
        if self.stop.is_set():
            if self.process is not None and self.process.returncode is None:
                self.process.kill()
            os._exit(128 + number)
        self.stop.set()

    @property
    def api_url(self) -> str:
        return server.address(self._sockets[0])

    @property
    def worker_url(self) -> str:
        return server.address(self._sockets[1])

    def running(self) -> Running:
        """What another process on this data directory may know."""
        return Running(os.getpid(), self.api_url, self.worker_url, self.bootstrap, self.settings.default_provider)

    async def start(self) -> None:
        """The ports, the database, the broker, then the child."""
        self._sockets = [
            self._bind(self.settings.api_host, self.settings.api_port, "GENAI_API_PORT", "API"),
            self._bind(self.settings.worker_host, self.settings.worker_port, "GENAI_WORKER_PORT", "worker's metrics"),
        ]
        if self.child_log is not None:
            self._log = self.child_log.open("ab")
        self._own_database = not postgres.is_running(self.settings)
        await self._start_broker()
        self._tasks.append(asyncio.create_task(self._keep_child(), name="child"))
        if not self.settings.kafka_brokers:
            self._tasks.append(asyncio.create_task(self._keep_broker(), name="broker"))

    def _bind(self, host: str, port: int, setting: str, what: str) -> socket.socket:
        try:
            return server.bind(host, port, setting)
        except server.PortTaken:
            found = server.bind(host, 0, setting)
            self.tell(
                f"Port {port} is taken by another program; the {what} listens at {server.address(found)} instead."
            )
            return found

    async def _start_broker(self) -> None:
        """Adopt or start the embedded broker; the one that is named is used as it is."""
        if self.settings.kafka_brokers:
            self.bootstrap = self.settings.kafka_brokers
            self.tell(f"Kafka is at {self.bootstrap} (GENAI_KAFKA_BROKERS); nothing embedded is started.")
            return
        began = time.monotonic()
        found = await asyncio.to_thread(control.start, self.settings, tell=self.tell)
        assert found.bootstrap is not None
        self.bootstrap = found.bootstrap
        self._own_broker = self._own_broker or not found.adopted
        took = f"started in {time.monotonic() - began:.1f} s" if not found.adopted else "was running already"
        self.tell(f"Apache Kafka {found.version} at {found.bootstrap} {took} (pid {found.pid}).")

    async def _keep_broker(self) -> None:
        """Restart a dead one, with growing pauses; when its address had to change, the child is started anew."""
        wait = _FIRST_WAIT_S
        while True:
            await asyncio.sleep(_LOOK_S)
            try:
                if (await asyncio.to_thread(control.status, self.settings)).pid is not None:
                    wait = _FIRST_WAIT_S
                    continue
                self.tell("The broker is gone; starting it again.")
                before = self.bootstrap
                await self._start_broker()
                if self.bootstrap != before and self.process is not None and self.process.returncode is None:
                    self.process.terminate()
            except SpineError as error:
                self.tell(f"{error} Trying again in {wait:g} s.")
                await asyncio.sleep(wait)
                wait = min(wait * 2, _LONGEST_WAIT_S)

    async def _keep_child(self) -> None:
        wait = _FIRST_WAIT_S
        while not self._ending.is_set():
            began = time.monotonic()
            self.process = await self._spawn()
            code = await self.process.wait()
            if self._ending.is_set():
                return
            if code == _CONFIG:
                self.exit_code = 1
                self.stop.set()
                return
            wait = _FIRST_WAIT_S if time.monotonic() - began > _STEADY_S else wait
            how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
            self.tell(f"The serving process {how}; it is started again in {wait:g} s.")
            await asyncio.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT_S)

    async def _spawn(self) -> asyncio.subprocess.Process:
        fds = [sock.fileno() for sock in self._sockets]
        line = ["-P", "-m", "streams.cli", "up", "--child", "--api-fd", str(fds[0]), "--worker-fd", str(fds[1])]
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *line,
            stdin=asyncio.subprocess.PIPE,  # it ends with us, however we end
            stdout=self._log,
            stderr=self._log,
            pass_fds=fds,
            start_new_session=True,  # Ctrl-C in the terminal is ours to hand on
            env=self._environment(),
        )

    def _environment(self) -> dict[str, str]:
        ports = [str(sock.getsockname()[1]) for sock in self._sockets]
        return os.environ | {
            "GENAI_KAFKA_BROKERS": self.bootstrap,
            "GENAI_DEFAULT_PROVIDER": self.settings.default_provider,
            "GENAI_DATA_DIR": str(self.settings.data()),
            "GENAI_API_PORT": ports[0],
            "GENAI_WORKER_PORT": ports[1],
        }

    async def first_ready(self) -> bool:
        """Wait until the child is ready, and say where everything is; False: told to stop before that."""
        while not self.stop.is_set():
            if await is_ready(self.api_url):
                self.tell(f"Ready. API: {self.api_url} (documentation at /docs); metrics: {self.worker_url}/metrics.")
                return True
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stop.wait(), 0.2)
        return False

    async def aclose(self) -> None:
        """Drain the child, then stop what was started here."""
        self._ending.set()
        if self.process is not None and self.process.returncode is None:
            await self._end(self.process)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for sock in self._sockets:
            sock.close()
        if self._own_broker:
            self.tell(await asyncio.to_thread(control.stop, self.settings))
        if self._own_database:
            await asyncio.to_thread(postgres.stop, self.settings)
        if self._log is not None:
            self._log.close()

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), self.settings.drain_s + 20)
        except TimeoutError:
            self.tell("The serving process did not end in time and was killed; the next start takes over its work.")
            process.kill()
            await process.wait()


async def is_ready(api_url: str) -> bool:
    """Whether /ready says so."""
    async with http.client() as client:
        try:
            reply = await http.send(client, "GET", f"{api_url}/ready", timeout_s=_ASK_S)
        except ProviderError:
            return False
    return reply.is_success
