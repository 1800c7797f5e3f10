"""Start, stop, status and logs of the embedded broker.

All of it is plain blocking code: from an event loop, `await asyncio.to_thread(control.start, settings)`.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from streams.broker import config, errors, jars, ports, probe, process, storage
from streams.broker.process import Home, State
from streams.settings import Settings

READY_S = 90.0
STOP_S = 30.0
_OVERHEAD = 64 * 1024  # headers and framing beside the largest value


@dataclass(frozen=True)
class Status:
    """`running`: it answers as Kafka. A `pid` without `running` is one that is starting, or hangs."""

    running: bool
    bootstrap: str | None
    pid: int | None
    data_dir: str | None
    version: str | None
    embedded: bool = True
    memory_mb: int | None = None
    adopted: bool = False
    notices: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def bootstrap(settings: Settings, *, start_it: bool = False) -> str:
    """Where clients connect: the brokers that are set, else the embedded one, started first where that is asked."""
    if settings.kafka_brokers:
        return settings.kafka_brokers
    found = start(settings) if start_it else status(settings)
    if not found.running or found.bootstrap is None:
        raise errors.NotRunning(
            f"No Kafka broker runs on {found.data_dir}. "
            "Start one with `genai-spine broker start`, or name yours in GENAI_KAFKA_BROKERS."
        )
    return found.bootstrap


def status(settings: Settings) -> Status:
    """What runs now; starts nothing."""
    if settings.kafka_brokers:
        reached = any(probe.reachable(address) for address in settings.kafka_brokers.split(","))
        return Status(reached, settings.kafka_brokers, None, None, None, embedded=False)
    home = Home(settings.data())
    found = process.holder(home)
    if found is None:
        return Status(False, None, None, str(home.path), jars.VERSION)
    return _describe(home, found)


def start(settings: Settings, *, timeout_s: float = READY_S, tell: Callable[[str], None] | None = None) -> Status:
    """The live broker of the data directory: adopted when there is one, else started and waited for.

    Two starts at once get the same broker. What a person should know (a port that was taken) is told as it happens
    and comes back in `notices`.
    """
    if settings.kafka_brokers:
        raise errors.NotOurs(
            f"GENAI_KAFKA_BROKERS names {settings.kafka_brokers}, so nothing embedded is started. Unset it to use one."
        )
    home = Home(settings.data())
    with home.locked(timeout_s + STOP_S):
        found = process.holder(home)
        if found is not None:
            return replace(_adopt(home, found, settings.kafka_port, timeout_s), adopted=True)
        if process.held_by_stranger(home):
            raise errors.NotOurs(
                f"{home.logs} is in use by a process that is not visible from here (another user, or a container). "
                "Stop that one, or choose another GENAI_DATA_DIR."
            )
        try:
            return _start_fresh(home, settings, timeout_s, tell or (lambda _: None))
        except OSError as error:
            raise errors.NotStarted(f"The broker could not be started ({error}). {errors.remedy(error)}") from error


def stop(settings: Settings, *, timeout_s: float = STOP_S) -> str:
    """Asks it to end, insists after `timeout_s`; the sentence says what happened, also when nothing ran."""
    if settings.kafka_brokers:
        raise errors.NotOurs(
            f"The broker at {settings.kafka_brokers} was not started by this program, nor is it stopped."
        )
    home = Home(settings.data())
    if not home.path.is_dir():
        return f"No broker runs on {home.path}."
    with home.locked(READY_S + timeout_s):
        found = process.holder(home)
        if found is None:
            return f"No broker runs on {home.path}."
        found.terminate()
        if _gone(found, timeout_s):
            return f"Stopped the broker (pid {found.pid})."
        found.kill()
        _gone(found, timeout_s)
        return (
            f"The broker (pid {found.pid}) did not stop in {timeout_s:.0f} s and was killed; the next start recovers."
        )


def log_lines(settings: Settings, lines: int) -> list[str]:
    """The last lines of the log and, when it died before it could log, of what Java printed."""
    return _tail(Home(settings.data()), lines)


def follow(settings: Settings, pause_s: float = 0.3) -> Iterator[str]:
    """New lines for ever, over the log's rotation."""
    path = Home(settings.data()).log
    at = path.stat().st_size if path.exists() else 0
    while True:
        size = path.stat().st_size if path.exists() else 0
        at = at if size >= at else 0
        if size > at:
            with path.open(errors="replace") as file:
                file.seek(at)
                yield from (line.rstrip("\n") for line in file.readlines())
                at = file.tell()
        time.sleep(pause_s)


def _start_fresh(home: Home, settings: Settings, timeout_s: float, tell: Callable[[str], None]) -> Status:
    jar_folder = jars.fetch(settings.cache())
    cluster = home.cluster_id() or storage.format_once(home, jar_folder)
    notices: list[str] = []
    for last_try in (False, False, True):
        choice = ports.choose(home.read_state(), settings.kafka_port)
        if choice.notice and choice.notice not in notices:
            notices.append(choice.notice)
            tell(choice.notice)
        found = _launch(home, settings, choice.ports, jar_folder)
        try:
            await_ready(home, found, choice.ports, cluster, timeout_s)
            return replace(_describe(home, found), notices=tuple(notices))
        except errors.NotStarted:
            # somebody took the port between our look and Kafka's bind: look again
            if last_try or found.is_running() or ports.both_free(choice.ports):
                raise
    raise AssertionError("unreachable")


def _launch(home: Home, settings: Settings, chosen: config.Ports, jar_folder: Path) -> psutil.Process:
    max_bytes = max(settings.result_max_bytes, settings.request_max_bytes) + _OVERHEAD
    home.properties.write_text(config.server_properties(chosen, Path(home.logs.name), max_bytes))
    found = process.launch(home, jar_folder)
    home.write_state(State(found.pid, found.create_time(), chosen.bootstrap, jars.VERSION, settings.kafka_port, chosen))
    return found


def _adopt(home: Home, found: psutil.Process, wished: int, timeout_s: float) -> Status:
    """A live one, perhaps still starting because its starter was killed; its state is written anew if it was lost."""
    listening = _ports(home)
    await_ready(home, found, listening, home.cluster_id(), timeout_s)
    state = home.read_state()
    if state is None or state.pid != found.pid:
        version = process.version_of(found)
        home.write_state(State(found.pid, found.create_time(), listening.bootstrap, version, wished, listening))
    return _describe(home, found)


def _describe(home: Home, found: psutil.Process) -> Status:
    listening = _ports(home)
    cluster = home.cluster_id()
    running = cluster is not None and probe.cluster_id(config.HOST, listening.broker) == cluster
    try:
        memory = found.memory_info().rss >> 20
    except psutil.Error:
        memory = None
    version = process.version_of(found)
    return Status(running, listening.bootstrap, found.pid, str(home.path), version, memory_mb=memory)


def _ports(home: Home) -> config.Ports:
    """What the live broker was told; server.properties is not rewritten while one lives."""
    try:
        found = config.ports_of(home.properties.read_text())
    except OSError:
        found = None
    state = home.read_state()
    if found is None and state is None:
        raise errors.NotOurs(
            f"A broker runs on {home.path}, but {home.properties.name} is gone, so its port is not known. "
            "Stop it with `genai-spine broker stop` and start it again."
        )
    return found or state.ports  # type: ignore[union-attr]  # one of them is there


def await_ready(
    home: Home, found: psutil.Process, listening: config.Ports, cluster: str | None, timeout_s: float
) -> None:
    """Raises NotStarted with the last lines of its log."""
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        if _gone(found, 0):
            raise errors.NotStarted(_explain(home, "The broker ended while it was starting."))
        if cluster is not None and probe.cluster_id(config.HOST, listening.broker) == cluster:
            return
        time.sleep(0.05)
    raise errors.NotStarted(
        _explain(home, f"The broker (pid {found.pid}) does not answer after {timeout_s:.0f} s; it is left running.")
    )


def _gone(found: psutil.Process, timeout_s: float) -> bool:
    """A child of ours that ended is a zombie until it is waited for; waiting is what psutil does."""
    try:
        found.wait(timeout=timeout_s)
    except psutil.TimeoutExpired:
        return False
    return True


def _explain(home: Home, what: str) -> str:
    tail = _tail(home, 12)
    text = "\n".join(tail)
    full = shutil.disk_usage(home.path).free < 1024 * 1024
    remedy = errors.remedy("No space left on device" if full else text)
    return f"{what} {remedy}\nThe last lines of {home.log}:\n" + "\n".join(f"  {line}" for line in tail)


def _tail(home: Home, lines: int) -> list[str]:
    found: list[str] = []
    for path in (home.log, home.out):
        if path.exists():
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - 400 * lines - 4096))
                found += file.read().decode(errors="replace").splitlines()[-lines:]
    return found[-lines:]
