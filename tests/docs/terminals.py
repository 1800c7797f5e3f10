"""A reader at two terminals: what serves goes on in the first, every other block is typed into the second."""

import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import orjson

from streams.broker import control
from tests.docs.pages import Command, printed
from tests.parts.kafka import make_settings

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
_SERVES = re.compile(r"^(make run|.*genai-spine up)\b", re.MULTILINE)
_LOOKS = re.compile(r"(kcat .*-C |genai-spine (results|costs|dlq list)\b)")
_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_KEPT = ("HOME", "LANG", "TMPDIR", "GENAI_CACHE_DIR")
_SET_UP = {"make setup": "make -n setup", "make run": "make -o setup run"}
"""The environment that runs the tests was made by `make setup`; made again in another folder it would be another one."""


class Terminals:
    """`ports`: what the page writes, and what it is here."""

    def __init__(self, folder: Path, environment: Mapping[str, str], ports: Mapping[str, str]) -> None:
        self.folder, self.ports = folder, dict(ports)
        self.environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        self.environment |= {"PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        self.environment |= {"TERM": "dumb", "COLUMNS": "160", "GENAI_DATA_DIR": str(folder / "data"), **environment}
        self.screen = b""
        self._serving: subprocess.Popen[bytes] | None = None
        self._groups: list[int] = []

    def type(self, command: Command) -> None:
        """Run one block; raises AssertionError when it fails or does not print what the page says."""
        if _SERVES.search(command.script):
            self._serve(command)
            return
        until = time.monotonic() + 60
        while True:
            code, output = self._run(self._here(command.script), command.line)
            missing = self._missing(command, output)
            if code == 0 and not missing:
                return
            assert _only_looks(command.script) and time.monotonic() < until, (
                f"the block at line {command.line} ended with {code} and did not print {missing}, but:\n{output}"
            )
            time.sleep(0.5)

    def _run(self, script: str, line: int) -> tuple[int, str]:
        out = self.folder / f"line-{line}.out"
        with out.open("wb") as file:
            code = self._start(script, file.fileno()).wait(120)
        return code, out.read_text(encoding="utf-8", errors="replace")

    def _start(self, script: str, out: int) -> "subprocess.Popen[bytes]":
        made = subprocess.Popen(
            ["bash", "-eo", "pipefail", "-c", script],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        self._groups.append(made.pid)
        return made

    def _serve(self, command: Command) -> None:
        """In a terminal of its own, until it has said everything."""
        ours, theirs = pty.openpty()
        self._serving = self._start(self._here(command.script), theirs)
        os.close(theirs)
        threading.Thread(target=self._watch, args=(ours,), daemon=True).start()
        until = time.monotonic() + 180
        while True:
            self._learn()
            missing = self._missing(command, _CODES.sub("", self.screen.decode(errors="replace")))
            if not missing and (self.folder / "data/up.json").exists():
                return
            assert self._serving.poll() is None and time.monotonic() < until, (
                f"the block at line {command.line} did not say {missing}, but:\n{self.screen.decode(errors='replace')}"
            )
            time.sleep(0.2)

    def _watch(self, terminal: int) -> None:
        with suppress(OSError):  # the other end is closed
            while piece := os.read(terminal, 65536):
                self.screen += piece
        os.close(terminal)

    def _learn(self) -> None:
        """Ports are any free ones here; `up` says which."""
        with suppress(FileNotFoundError):
            found = orjson.loads((self.folder / "data/up.json").read_bytes())
            self.ports |= {
                "127.0.0.1:9092": found["bootstrap"],
                "http://127.0.0.1:8100": found["api"],
                "http://127.0.0.1:8101": found["worker"],
            }

    def _here(self, text: str) -> str:
        for there, here in {**_SET_UP, **self.ports}.items():
            text = text.replace(there, here)
        return text

    def _missing(self, command: Command, output: str) -> list[str]:
        return [line for line in map(self._here, command.expected) if not printed(line, output)]

    def leave(self) -> int | None:
        """Ctrl-C in the first terminal; its exit code."""
        if self._serving is None:
            return None
        os.killpg(self._serving.pid, signal.SIGINT)
        return self._serving.wait(60)

    def close(self) -> None:
        """Nothing that a block has left in the background stays."""
        with suppress(subprocess.TimeoutExpired):
            self.leave() if self._serving is not None and self._serving.poll() is None else None
        for group in self._groups:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        control.stop(make_settings(data_dir=self.folder / "data", kafka_brokers=""), timeout_s=5)


def _only_looks(script: str) -> bool:
    """Whether it may be run again until it shows what it should."""
    return all(_LOOKS.match(line) for line in script.splitlines() if line.strip())


@contextmanager
def terminals(folder: Path, environment: Mapping[str, str], ports: Mapping[str, str]) -> Iterator[Terminals]:
    """`folder` looks like a clone, so that what a page writes does not lie in the real one."""
    for entry in (*ROOT.glob("[!.]*"), ROOT / ".venv"):
        if entry.name not in {"data", "dist", "build"}:
            (folder / entry.name).symlink_to(entry)
    made = Terminals(folder, environment, ports)
    try:
        yield made
    finally:
        made.close()


def missing_tools(*names: str) -> list[str]:
    return [name for name in names if shutil.which(name) is None]
