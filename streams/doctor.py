"""`genai-spine doctor`: every part that a run needs, whether it is there, and how to mend what is not."""

import asyncio
import resource
import shutil
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from store.errors import StoreError
from streams.errors import SpineError
from streams.settings import Settings

Level = Literal["ok", "note", "bad"]
"""`note`: works, or is not needed now; `bad`: something will fail."""

_DISK_BAD, _DISK_NOTE = 1 << 30, 5 << 30
_FILES = 1024


@dataclass(frozen=True)
class Finding:
    """One part. `mend`: what to do, empty when nothing is to be done."""

    part: str
    level: Level
    words: str
    mend: str = ""

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


async def examine(settings: Settings) -> list[Finding]:
    """All of them, in an order that a start goes through. Starts and changes nothing."""
    found: list[Finding] = []
    for name, look in _LOOKS.items():
        try:
            found += await look(settings)
        except (SpineError, StoreError, OSError) as error:
            found.append(Finding(name, "bad", str(error)))
    return found


async def _python(_: Settings) -> list[Finding]:
    said = f"{sys.version.split()[0]} at {sys.executable}"
    return [Finding("python", "ok", said)]


async def _disk(settings: Settings) -> list[Finding]:
    folder = settings.data()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    level: Level = "bad" if free < _DISK_BAD else "note" if free < _DISK_NOTE else "ok"
    mend = "" if level == "ok" else "Free some space, or choose another GENAI_DATA_DIR."
    return [Finding("disk", level, f"{free / 2**30:.1f} GiB free for {folder}", mend)]


async def _files(_: Settings) -> list[Finding]:
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < _FILES:
        return [Finding("open files", "note", f"at most {soft}", f"Raise it: `ulimit -n {_FILES * 8}`.")]
    return [Finding("open files", "ok", f"at most {soft}")]


async def _java(settings: Settings) -> list[Finding]:
    """Only the embedded broker and Kafka's own tools need it."""
    from streams.broker import jars, process

    needed: Level = "note" if settings.kafka_brokers else "bad"
    try:
        said = [Finding("java", "ok", str(process.java()))]
    except SpineError as error:
        said = [Finding("java", needed, str(error), "Run `make setup` again.")]
    folder = settings.cache() / f"kafka-{jars.VERSION}"
    if folder.is_dir():
        return [*said, Finding("kafka jars", "ok", f"Kafka {jars.VERSION} in {folder}")]
    return [*said, Finding("kafka jars", needed, f"not in {folder}", "Run `make setup` with a network.")]


async def _broker(settings: Settings) -> list[Finding]:
    from agents import OPERATIONS
    from streams import security, topics
    from streams.broker import control

    known = security.of(settings)
    found = await asyncio.to_thread(control.status, settings)
    if not found.running or found.bootstrap is None:
        if settings.kafka_brokers:
            words = f"nobody answers at {settings.kafka_brokers}"
            return [Finding("broker", "bad", words, "Start that Kafka, or mend GENAI_KAFKA_BROKERS.")]
        mend = "Start it with `genai-spine broker start`, or everything with `genai-spine up`."
        return [Finding("broker", "note", "the embedded one does not run", mend)]
    how = f", {known.shown}" if settings.kafka_brokers else ""
    said = [Finding("broker", "ok", f"Kafka {found.version or ''} at {found.bootstrap}{how}".replace("  ", " "))]
    differing = await topics.check(security.Brokers(found.bootstrap, known), settings, OPERATIONS)
    if not differing:
        return [*said, Finding("topics", "ok", "as the settings say")]
    words = f"{len(differing)} differences, the first: {differing[0].message}"
    return [*said, Finding("topics", "note", words, f"{differing[0].mend} A worker does it at its start.")]


async def _database(settings: Settings) -> list[Finding]:
    from store import migrate
    from store.database import Database, parse_url
    from streams import postgres, waiting
    from streams.app import database_url

    if settings.database_url == postgres.EMBEDDED and not (settings.data() / "postgres" / "PG_VERSION").exists():
        return [Finding("database", "note", "the packaged PostgreSQL, not made yet", "The first start makes it.")]
    chosen = await asyncio.to_thread(postgres.resolved, settings)
    url = parse_url(database_url(chosen))
    where = url.render_as_string(hide_password=True)
    if not waiting.is_made(url):
        return [Finding("database", "note", f"{where} is not made yet", "The first start makes it.")]
    database = Database(url)
    try:
        version, wanted = await database.read(migrate.current), migrate.head()
    except StoreError as error:
        mend = "Start that database, or mend GENAI_DATABASE_URL."
        return [Finding("database", "bad", f"{where}: {error}", mend)]
    finally:
        await database.aclose()
    if version != wanted:
        words = f"{where} has schema {version or 'none'}, this program speaks {wanted}"
        return [Finding("database", "bad", words, "Run `genai-spine migrate`.")]
    return [Finding("database", "ok", f"{where}, schema {version}")]


async def _provider(settings: Settings) -> list[Finding]:
    from streams.app import make_providers
    from streams.web.front import provider_state

    made = make_providers(settings)
    try:
        provider = made.get(settings.default_provider)
        if provider is None:
            words = f"{settings.default_provider!r} is not known; known are {', '.join(sorted(made))}"
            return [Finding("provider", "bad", words, "Set GENAI_DEFAULT_PROVIDER to one of them.")]
        ok, why = await provider_state(provider, settings.default_model)
        if ok:
            model = settings.default_model or provider.default_model("chat")
            return [Finding("provider", "ok", f"{provider.name} answers and has {model}")]
        return [Finding("provider", *_provider_mend(settings, why))]
    finally:
        for each in made.values():
            await each.aclose()


def _provider_mend(settings: Settings, why: str) -> tuple[Level, str, str]:
    if settings.default_provider == "local":
        return "bad", why, "Run `make setup` again; it installs the small local models."
    if "does not have" in why:
        model = settings.default_model or "llama3.2:latest"
        return "bad", why, f"Pull it with `ollama pull {model}`, or set GENAI_DEFAULT_MODEL."
    mend = "Start it, or mend its address; `genai-spine up` takes the small local model meanwhile."
    return "note" if "default_provider" not in settings.model_fields_set else "bad", why, mend


async def _ports(settings: Settings) -> list[Finding]:
    from streams import upfile
    from streams.web import server

    running = upfile.find(settings)
    if running is not None:
        return [Finding("up", "ok", f"runs (pid {running.pid}): API at {running.api}, metrics at {running.worker}")]
    said = []
    for setting, host, port in (
        ("GENAI_API_PORT", settings.api_host, settings.api_port),
        ("GENAI_WORKER_PORT", settings.worker_host, settings.worker_port),
    ):
        try:
            server.bind(host, port, setting).close()
            said.append(Finding("port", "ok", f"{host}:{port} is free ({setting})"))
        except SpineError as error:
            said.append(Finding("port", "note", str(error), "`genai-spine up` takes another one by itself."))
    return said


_LOOKS: dict[str, Callable[[Settings], Awaitable[list[Finding]]]] = {
    "python": _python,
    "disk": _disk,
    "open files": _files,
    "java": _java,
    "broker": _broker,
    "database": _database,
    "provider": _provider,
    "port": _ports,
}
