"""Workers by fork from a parent that has imported everything: a new life costs milliseconds, not the seconds of the imports.

    python -m tests.chaos.nursery

reads commands from standard input, one JSON object a line, and says on standard output who was born and how each died.
Single-threaded and without a loop, so that a fork is safe. Its children end with it.
"""

import asyncio
import contextlib
import ctypes
import json
import os
import select
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_DEATH_OF_PARENT = 1


@dataclass
class Life:
    """One worker process."""

    pid: int
    ended: "asyncio.Future[int]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def send(self, number: signal.Signals) -> None:
        """To one that has ended, of which nobody was told yet, nothing."""
        with contextlib.suppress(ProcessLookupError):
            if not self.ended.done():
                os.kill(self.pid, number)

    async def within(self, seconds: float) -> int | None:
        """Its exit code, negative for a signal; None: it lives on."""
        done, _ = await asyncio.wait({self.ended}, timeout=seconds)
        return self.ended.result() if done else None


class Nursery:
    """`async with Nursery(log)`; `begin` makes a life. The parent is started once and serves many stages."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._lives: dict[int, Life] = {}
        self._born: asyncio.Queue[int] = asyncio.Queue()
        self._one = asyncio.Lock()
        self._reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Nursery":
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.chaos.nursery", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None and self._reading is not None
        for life in list(self._lives.values()):
            life.send(signal.SIGKILL)
        self._process.kill()
        await self._process.wait()
        self._reading.cancel()

    async def begin(self, entry: str, told: dict[str, Any], *, kill_at: str = "", log: Path) -> Life:
        """`entry`: `stage`, `worker` or `migration` (see `lives`)."""
        assert self._process is not None and self._process.stdin is not None
        command = {"entry": entry, "told": told, "kill_at": kill_at, "log": str(log)}
        async with self._one:
            self._process.stdin.write(json.dumps(command).encode() + b"\n")
            await self._process.stdin.drain()
            pid = await asyncio.wait_for(self._born.get(), 60)
        return self._lives[pid]

    async def _read(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        while line := await self._process.stdout.readline():
            said = json.loads(line)
            if "born" in said:
                self._lives[said["born"]] = Life(said["born"])
                self._born.put_nowait(said["born"])
            else:
                self._lives.pop(said["died"]).ended.set_result(said["code"])


def _entries() -> dict[str, Callable[[dict[str, Any]], int]]:
    from tests.chaos import lives

    return {"stage": lives.stage, "worker": lives.worker, "migration": lives.migration}


def main() -> None:
    """Serve until standard input ends."""
    entries = _entries()
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    rest = b""
    while True:
        ready, _, _ = select.select([0, reading], [], [])
        if reading in ready:
            os.read(reading, 4096)
            _bury()
        if 0 in ready:
            got = os.read(0, 65536)
            if not got:
                return
            *lines, rest = (rest + got).split(b"\n")
            for line in lines:
                _begin(entries, json.loads(line))


def _begin(entries: dict[str, Callable[[dict[str, Any]], int]], command: dict[str, Any]) -> None:
    pid = os.fork()
    if pid:
        _say({"born": pid})
        return
    code = 70
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        ctypes.CDLL(None).prctl(_DEATH_OF_PARENT, signal.SIGKILL)
        log = os.open(command["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for old, new in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(old, new)
        os.environ["GENAI_KILL_AT"] = command["kill_at"]
        code = entries[command["entry"]](command["told"])
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    os._exit(code)


def _bury() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        _say({"died": pid, "code": os.waitstatus_to_exitcode(status)})


def _say(what: dict[str, Any]) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


if __name__ == "__main__":
    main()
