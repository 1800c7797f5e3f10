"""The installed console script, run from another folder, with an environment of its own."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import termios
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from streams import cli

SCRIPT = Path(sys.executable).with_name("genai-spine")
_KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH")


def environment(folder: Path, **changes: str) -> dict[str, str]:
    """`folder` is the data directory; ports are any free ones."""
    usual = {
        "GENAI_DATA_DIR": str(folder),
        "GENAI_DEFAULT_PROVIDER": "fake",
        "GENAI_FAKE_LATENCY_S": "0",
        "GENAI_FAKE_TAIL": "0",
        "GENAI_API_PORT": "0",
        "GENAI_WORKER_PORT": "0",
        "GENAI_KAFKA_PORT": "0",
        "GENAI_LOG_FORMAT": "json",
        "GENAI_PARTITIONS": "2",
        "GENAI_CACHE_TTL_S": "0",
    }
    cache = {"GENAI_CACHE_DIR": os.environ["GENAI_CACHE_DIR"]} if "GENAI_CACHE_DIR" in os.environ else {}
    return {name: os.environ[name] for name in _KEPT if name in os.environ} | usual | cache | changes


def run(
    folder: Path, *arguments: str, given: str | None = None, within_s: float = 60, **changes: str
) -> subprocess.CompletedProcess[str]:
    folder.mkdir(parents=True, exist_ok=True)
    return subprocess.run(
        [SCRIPT, *arguments],
        env=environment(folder, **changes),
        cwd=folder,
        input=given,
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
    )


def here(folder: Path, *arguments: str, given: str | None = None, **changes: str) -> subprocess.CompletedProcess[str]:
    """As `run`, in this process, for commands that serve nothing: each start of another process takes a second of CPU."""
    folder.mkdir(parents=True, exist_ok=True)
    env = environment(folder, **changes)
    emptied = {name: None for name in os.environ if name.startswith("GENAI_")}
    with contextlib.chdir(folder):
        found = CliRunner().invoke(cli.app, arguments, input=given, env={**emptied, **env})
    code, words = found.exit_code, found.stderr
    if isinstance(found.exception, Exception):
        said, code = cli._told(found.exception)
        words += f"{said}\n"
    return subprocess.CompletedProcess(arguments, code, found.stdout, words)


def on_a_terminal(folder: Path, *arguments: str, columns: int = 80, given: str = "", **changes: str) -> tuple[str, int]:
    """What a command shows on a terminal, and how it ended; standard input is a file."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    (folder / "given").write_text(given, encoding="utf-8")
    env = {**environment(folder, **changes), "TERM": "xterm-256color"}
    with (folder / "given").open() as source:
        command = subprocess.Popen(
            [SCRIPT, *arguments], env=env, cwd=folder, stdin=source, stdout=theirs, stderr=theirs
        )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # how a terminal says that its other end is closed
        while more := os.read(ours, 65536):
            shown += more
    os.close(ours)
    return shown.decode(), command.wait(60)


class Served:
    """A serving command in a process of its own; what it logs is in `log`."""

    def __init__(self, folder: Path, *arguments: str, **changes: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.log = folder / f"{arguments[0]}.{time.monotonic_ns()}.log"
        with self.log.open("w") as out:
            env = environment(folder, **changes)
            self.process = subprocess.Popen([SCRIPT, *arguments], env=env, cwd=folder, stdout=out, stderr=out)

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def said(self, words: str, within_s: float = 60) -> dict[str, Any]:
        """The first event with these words, waited for."""
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            for event in self.events():
                if words in event["event"]:
                    return event
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(f"{words!r} was not said:\n{self.log.read_text()[-4000:]}")

    def stop(self, number: int = signal.SIGTERM, within_s: float = 60) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(within_s)


@contextlib.contextmanager
def served(folder: Path, *arguments: str, **changes: str) -> Iterator[Served]:
    made = Served(folder, *arguments, **changes)
    try:
        yield made
    finally:
        if made.process.poll() is None:
            made.process.terminate()
            try:
                made.process.wait(60)
            except subprocess.TimeoutExpired:
                made.process.kill()
                made.process.wait(10)


def ask(url: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
    """Status and JSON."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())
