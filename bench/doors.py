"""The doors that are held against each other, each in front of the same double: none at all, ours, and the peers.

A peer is there when it is installed under `bench/peers/` (see the README there). Neither of them keeps a ledger here:
LiteLLM's keys and budgets need its own PostgreSQL schema, Portkey's gateway has none.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import orjson
import psutil

from bench.openai_double import MODEL

DIRECT, LITELLM, PORTKEY = "direct", "litellm", "portkey"
PEERS = Path(__file__).parent / "peers"
KEY = "bench-key"
CHAT = "/v1/chat/completions"
TENANT = "bench"
SLOTS = 512
_START_S = 90.0


@dataclass(frozen=True)
class Door:
    """Where a caller asks, and what answers there."""

    name: str
    base: str
    path: str = CHAT
    headers: Mapping[str, str] = field(default_factory=dict)
    process: psutil.Process | None = None
    """None: there is nothing between the caller and the double."""

    @property
    def url(self) -> str:
        return self.base + self.path

    def body(self, content: str, *, tokens: int = 8, stream: bool = False) -> bytes:
        """A chat of one message; every door is asked for the same."""
        messages = [{"role": "user", "content": content}]
        streamed = {"stream": True} if stream else {}
        return orjson.dumps({"model": MODEL, "messages": messages, "max_tokens": tokens} | streamed)

    def _tree(self) -> list[psutil.Process]:
        return [] if self.process is None else [self.process, *self.process.children(recursive=True)]

    def cpu_s(self) -> float:
        """User and system time of all its processes."""
        return sum(times.user + times.system for times in (each.cpu_times() for each in self._tree()))

    def megabytes(self) -> float:
        return sum(each.memory_info().rss for each in self._tree()) / 1e6


def installed() -> tuple[str, ...]:
    """The peers that are there."""
    programs = {LITELLM: _litellm(), PORTKEY: _portkey()}
    return tuple(name for name, program in programs.items() if program.exists())


def _litellm() -> Path:
    return PEERS / "litellm" / ".venv" / "bin" / "litellm"


def _portkey() -> Path:
    return PEERS / "portkey" / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"


@contextlib.contextmanager
def opened(name: str, folder: Path, double: str, database: str | None) -> Iterator[Door]:
    """A fresh door of this name. `database`: of ours, with a key and a budget."""
    if name == DIRECT:
        yield Door(name, double)
    elif name == LITELLM:
        with serving(*_litellm_side(folder, double)) as (process, base):
            yield Door(name, base, headers={"authorization": f"Bearer {KEY}"}, process=process)
    elif name == PORTKEY:
        headers = {"x-portkey-provider": "openai", "x-portkey-custom-host": f"{double}/v1", "authorization": "Bearer x"}
        port = free_port()
        command = ["node", str(_portkey()), f"--port={port}", "--headless"]
        with serving(command, _plain() | {"TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost"}, port, "/", folder) as (
            process,
            base,
        ):
            yield Door(name, base, headers=headers, process=process)
    else:
        assert database is not None
        side, key = _spine_side(folder, double, database)
        with serving(*side) as (process, base):
            yield Door(name, base, headers={"authorization": f"Bearer {key}"}, process=process)


_Command = tuple[list[str], dict[str, str], int, str, Path]
"""Arguments, environment, port, the path that answers when it is ready, folder."""


def _litellm_side(folder: Path, double: str) -> _Command:
    config = folder / "litellm.yaml"
    params = {"model": f"openai/{MODEL}", "api_base": f"{double}/v1", "api_key": "x"}
    told = {
        "model_list": [{"model_name": MODEL, "litellm_params": params}],
        "general_settings": {"master_key": KEY},
        "litellm_settings": {"num_retries": 0, "telemetry": False},
    }
    config.write_bytes(orjson.dumps(told))  # JSON is YAML
    port = free_port()
    command = [str(_litellm()), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    environment = _plain() | {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    return [*command, "--num_workers", "1"], environment, port, "/health/liveliness", folder


def _spine_side(folder: Path, double: str, database: str) -> tuple[_Command, str]:
    """And the key of the tenant whose budget is asked for each call."""
    port = free_port()
    environment = _plain() | {
        "GENAI_DATABASE_URL": database,
        "GENAI_DATA_DIR": str(folder),
        "GENAI_API_PORT": str(port),
        "GENAI_API_KEY": KEY,
        "GENAI_LOG_LEVEL": "warning",
        "GENAI_CACHE_TTL_S": "0",  # equal texts, and every one a call
        "GENAI_DEFAULT_PROVIDER": "openai",
        "GENAI_DEFAULT_MODEL": MODEL,
        "GENAI_OPENAI_BASE_URL": f"{double}/v1",
        "GENAI_OPENAI_API_KEY": "x",
        "GENAI_OPENAI_SLOTS": str(SLOTS),
        "GENAI_PRICES": orjson.dumps({"openai/*": {"input_per_million": "1", "output_per_million": "1"}}).decode(),
    }
    cli = [sys.executable, "-m", "streams.cli"]

    def done(*words: str) -> str:
        found = subprocess.run(
            [*cli, *words], env=environment, check=True, capture_output=True, text=True, timeout=_START_S
        )
        return found.stdout

    done("migrate")
    key = orjson.loads(done("keys", "create", "bench", "--tenant", TENANT, "--json"))["key"]
    done("budgets", "set", "--tenant", TENANT, "--limit", "1000000", "--per", "total")
    return ([*cli, "web"], environment, port, "/ready", folder), key


def _plain() -> dict[str, str]:
    """The caller's own settings are left out: a measure has no hidden ones."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("GENAI_", "LITELLM_", "OPENAI_"))}


def free_port() -> int:
    """Any that nobody listens at now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextlib.contextmanager
def serving(
    arguments: Sequence[str], environment: Mapping[str, str], port: int, ready: str, folder: Path
) -> Iterator[tuple[psutil.Process, str]]:
    """A child that answers at `ready` when it is; SIGTERM ends it, with all that it has started."""
    base, log = f"http://127.0.0.1:{port}", folder / f"door-{uuid.uuid4().hex[:8]}.log"
    with log.open("wb") as out:
        child = subprocess.Popen(
            list(arguments), stdout=out, stderr=out, env=dict(environment), cwd=folder, start_new_session=True
        )
        try:
            until = time.monotonic() + _START_S
            while not _answers(base + ready):
                if child.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"{' '.join(arguments)[:120]} did not start:\n{log.read_text()[-4000:]}")
                time.sleep(0.2)
            yield psutil.Process(child.pid), base
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGTERM)
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()


def _answers(url: str) -> bool:
    try:
        return (
            httpx.get(url, timeout=2.0, trust_env=False, headers={"authorization": f"Bearer {KEY}"}).status_code < 400
        )
    except httpx.HTTPError:
        return False
