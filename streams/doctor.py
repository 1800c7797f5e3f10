"""`genai-spine doctor`: every part that a run needs, whether it is there, and how to mend what is not."""

import asyncio
import importlib.util
import resource
import shutil
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from providers.base import Lacking, able_of
from providers.calls import Kind
from providers.errors import ProviderError
from store.errors import StoreError
from streams.errors import SpineError
from streams.settings import Settings

if TYPE_CHECKING:
    from providers.base import Provider
    from store.database import Database

Level = Literal["ok", "note", "bad"]
"""`note`: works, or is not needed now; `bad`: something will fail."""

_DISK_BAD, _DISK_NOTE = 1 << 30, 5 << 30
_FILES = 1024
_CLOCK_NOTE, _CLOCK_BAD = 2.0, 30.0
_AHEAD = (10.0, 60.0, 3600.0)
_SILENT = 2
"""Leases without a beat: it beats three times in one."""
_ROOMS = ("agents", "prompts", "providers", "schemas", "store", "streams")
_KINDS: tuple[tuple[Kind, str, Level], ...] = (
    ("chat", "default_model", "bad"),
    ("embed", "default_embed_model", "note"),
)
"""Kind, setting, and how bad it is when that model is not there: most requests chat, some only embed."""


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
    """Another distribution with a package of the same name, as `agents`, may have been written over ours."""
    said = f"{sys.version.split()[0]} at {sys.executable}"
    ours = Path(__file__).parents[1]
    found = {room: importlib.util.find_spec(room) for room in _ROOMS}
    strange = [room for room, spec in found.items() if not spec or Path(str(spec.origin)).parents[1] != ours]
    if strange:
        words = f"{said}, but {', '.join(strange)} there is not the one of GenAI Spine"
        mend = "Another package brings that name: install GenAI Spine into a virtual environment of its own."
        return [Finding("python", "bad", words, mend)]
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
    from schemas.operations import NAMES
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
    brokers = security.Brokers(found.bootstrap, known)
    said.append(_clock("the records in Kafka", await _ahead(brokers)))
    said += await _unread(brokers, settings)
    differing = await topics.check(brokers, settings, NAMES)
    if not differing:
        return [*said, Finding("topics", "ok", "as the settings say")]
    words = f"{len(differing)} differences, the first: {differing[0].message}"
    return [*said, Finding("topics", "note", words, f"{differing[0].mend} A worker does it at its start.")]


async def _unread(bootstrap: str, settings: Settings) -> list[Finding]:
    """Records that nobody has read, and how long Kafka keeps them."""
    from schemas.operations import NAMES
    from streams import lag

    found = await lag.look(bootstrap, settings.kafka_group, NAMES, ages=True)
    if found.why:
        return [Finding("unread", "note", found.why, "Run it again.")]
    if danger := found.danger():
        mend = "Raise GENAI_RETENTION_HOURS and run `genai-spine topics create` now; then add workers."
        return [Finding("unread", "bad", danger, mend)]
    records = sum(sum(lane.values()) for lane in found.records.values())
    return [Finding("unread", "ok", f"{records} records are in Kafka only")]


async def _database(settings: Settings) -> list[Finding]:
    from store import schema
    from store.database import Database, parse_url
    from streams import lookup, postgres
    from streams.where import ledger_url

    if settings.database_url == postgres.EMBEDDED and not (settings.data() / "postgres" / "PG_VERSION").exists():
        return [Finding("database", "note", "the packaged PostgreSQL, not made yet", "The first start makes it.")]
    chosen = await asyncio.to_thread(postgres.resolved, settings)
    url = parse_url(ledger_url(chosen))
    where = url.render_as_string(hide_password=True)
    if not lookup.is_made(url):
        return [Finding("database", "note", f"{where} is not made yet", "The first start makes it.")]
    database = Database(url)
    try:
        version, wanted = await database.read(schema.current), schema.head()
        ahead = await _database_ahead(database)
        searched = [await _searched(database)] if version == wanted else []
    except StoreError as error:
        mend = "Start that database, or mend GENAI_DATABASE_URL."
        return [Finding("database", "bad", f"{where}: {error}", mend)]
    finally:
        await database.aclose()
    said = [Finding("database", "ok", where), _clock("the database", ahead)]
    if version != wanted:
        words = f"the schema is {version or 'not made'}, this program speaks {wanted}"
        mend = "Run `genai-spine migrate`." if not version or version < wanted else "Upgrade this program."
        return [*said, Finding("migrations", "bad", words, mend)]
    return [*said, Finding("migrations", "ok", f"the schema is {version}, which this program speaks"), *searched]


async def _searched(database: "Database") -> Finding:
    """Whether passages of documents are looked through by the database."""
    from store.passages import kept

    if database.is_sqlite or await database.read(kept.has_vectors):
        return Finding("documents", "ok", "searched " + ("in process" if database.is_sqlite else "by pgvector"))
    words = (
        "PostgreSQL had no pgvector when this schema was made: documents are searched in process, which takes longer"
    )
    return Finding("documents", "note", words, "See docs/how-to/use-postgresql.md.")


async def _database_ahead(database: "Database") -> float:
    """Seconds by which its clock is ahead of ours. A SQLite file's clock is ours: it may only be newer than now."""
    from store.database import now

    if database.is_sqlite:
        return await asyncio.to_thread(_newer_than_now, Path(str(database.url.database)))
    before = time.time()
    theirs = await database.read(now)
    return theirs - (before + time.time()) / 2


def _newer_than_now(file: Path) -> float:
    return max(0.0, file.stat().st_mtime - time.time())


async def _ahead(bootstrap: str) -> float:
    """Kafka tells no time, but which records are later than one: by how many seconds some are ahead of our clock."""
    from aiokafka import TopicPartition

    from streams import reading, topics

    found = await topics.list_topics(bootstrap)
    tps = [TopicPartition(name, n) for name, topic in found.items() for n in range(topic.partitions)]
    async with reading.consumer(bootstrap) as reader:
        await reading.know(reader, tps)
        ahead = 0.0
        for seconds in _AHEAD:
            at = round((time.time() + seconds) * 1000)
            later = await reader.offsets_for_times(dict.fromkeys(tps, at)) if tps else {}
            if not any(later.values()):
                break
            ahead = seconds
    return ahead


def _clock(whose: str, ahead: float) -> Finding:
    if abs(ahead) <= _CLOCK_NOTE:
        return Finding("clock", "ok", f"agrees with {whose}")
    words = f"this machine's is {abs(ahead):.0f} s or more {'behind' if ahead > 0 else 'ahead of'} {whose}"
    mend = "Set the clocks by NTP (`timedatectl set-ntp true`): deadlines and daily costs go by them."
    return Finding("clock", "bad" if abs(ahead) > _CLOCK_BAD else "note", words, mend)


async def _provider(settings: Settings) -> list[Finding]:
    from streams.providing import make_providers

    made = make_providers(settings)
    try:
        provider = made.get(settings.default_provider)
        if provider is None:
            words = f"{settings.default_provider!r} is not known; known are {', '.join(sorted(made))}"
            return [Finding("provider", "bad", words, "Set GENAI_DEFAULT_PROVIDER to one of them.")]
        if isinstance(provider, Lacking) and provider.missing:
            return [Finding("provider", "bad", provider.missing, "Set it in the environment or in .env.")]
        return [*await _answering(settings, provider), _others(settings, made)]
    finally:
        for each in made.values():
            await each.aclose()


async def _answering(settings: Settings, provider: "Provider") -> list[Finding]:
    """Whether it answers, and has the two models that requests get by default."""
    try:
        names = await provider.models()
    except ProviderError as error:
        return [_no_provider(settings, f"{provider.name} does not answer ({error})")]
    if not names:
        return [_no_provider(settings, f"{provider.name} does not answer at {', '.join(provider.nodes())}")]
    said = [Finding("provider", "ok", f"{provider.name} answers at {', '.join(provider.nodes())}")]
    for kind, setting, missing in _KINDS:
        model = getattr(settings, setting) or provider.default_model(kind)
        words = f"{model} ({kind})"
        if kind == "embed" and (able := able_of(provider, model)) is not None and able.embed is False:
            mend = "Requests for embeddings must name a provider that has some, in options.provider."
            said.append(Finding("model", "note", f"{provider.name} has no embeddings", mend))
        elif {model, f"{model}:latest"} & set(names):
            said.append(Finding("model", "ok", words))
        else:
            pull = f"Pull it with `ollama pull {model}`" if provider.name == "ollama" else "Get it"
            mend = f"{pull}, or set GENAI_{setting.upper()} to one that is there."
            said.append(Finding("model", missing, f"{words} is not there; there are {', '.join(names[:20])}", mend))
    return said


def _others(settings: Settings, made: Mapping[str, "Provider"]) -> Finding:
    """The providers that requests may name, and what some of them lack before they can be called."""
    others = {name: each for name, each in made.items() if name != settings.default_provider}
    lacking = {name: each.missing for name, each in others.items() if isinstance(each, Lacking) and each.missing}
    ready = ", ".join(sorted(set(others) - set(lacking)))
    return Finding("other providers", "ok", " ".join([f"{ready} by name.", *lacking.values()]))


def _no_provider(settings: Settings, words: str) -> Finding:
    if settings.default_provider == "local":
        return Finding("provider", "bad", words, "Run `make setup` again; it installs the small local models.")
    mend = "Start it, or mend its address; `genai-spine up` takes the small local model meanwhile."
    return Finding("provider", "note" if "default_provider" not in settings.model_fields_set else "bad", words, mend)


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


async def _door(settings: Settings) -> list[Finding]:
    """Who may ask over HTTP. Whoever can reach the port, where nobody needs a key."""
    from streams.addresses import is_loopback

    local = is_loopback(settings.api_host)
    works, made = await _made_keys(settings)
    ways = [
        "the operator's GENAI_API_KEY" if settings.api_key else "",
        f"{works} of {made} made keys" if made else "",
        f"tokens of {settings.jwt_issuer}" if settings.jwt_jwks else "",
    ]
    if told := ", ".join(filter(None, ways)):
        return [Finding("door", "ok", f"closed: {settings.api_host} wants a key ({told})")]
    if local:
        words = f"open to every program on this machine: {settings.api_host}, and nobody needs a key"
        return [Finding("door", "note", words, "Make a key with `genai-spine keys create NAME` to close it.")]
    if settings.allow_insecure:
        words = f"open to the network: {settings.api_host}, GENAI_ALLOW_INSECURE, and nobody needs a key"
        return [Finding("door", "bad", words, "Make a key with `genai-spine keys create NAME`, or set GENAI_API_KEY.")]
    words = f"will not open: {settings.api_host} is open to the network, and there is no GENAI_API_KEY"
    return [Finding("door", "bad", words, "Set GENAI_API_KEY.")]


async def _schedules(settings: Settings) -> list[Finding]:
    """Whether their file can be used, and whether anybody fires those that there are."""
    from store import leading
    from store.database import now
    from store.schedules import read
    from streams import lookup, postgres
    from streams.schedules import file, scheduler

    said = []
    if settings.schedules_file:
        count = len(await asyncio.to_thread(file.load, settings))
        said.append(Finding("schedules", "ok", f"{count} in {settings.schedules_file}, in order"))
    if settings.database_url == postgres.EMBEDDED and not (settings.data() / "postgres" / "PG_VERSION").exists():
        return said
    try:
        async with lookup.opened(await asyncio.to_thread(postgres.resolved, settings)) as database:
            waiting, leader, at = await database.read(
                lambda conn: (read.count(conn), leading.leader(conn, scheduler.ROLE), now(conn))
            )
    except (lookup.NoLedger, StoreError):  # the part `database` says so
        return said
    if not waiting:
        return said
    if leader is None or at - leader.beat > _SILENT * settings.lease_s:
        words = f"{waiting} wait for their time, and nobody fires them"
        return [*said, Finding("schedules", "note", words, "Start `genai-spine worker`, `web` or `up`.")]
    return [*said, Finding("schedules", "ok", f"{waiting} are fired by {leader.worker}")]


async def _made_keys(settings: Settings) -> tuple[int, int]:
    """How many keys work, of how many; none where there is no ledger yet."""
    from store import keys as rows
    from streams import keys, lookup, postgres

    if settings.database_url == postgres.EMBEDDED and not (settings.data() / "postgres" / "PG_VERSION").exists():
        return 0, 0
    try:
        async with lookup.opened(await asyncio.to_thread(postgres.resolved, settings)) as database:
            found = await database.read(rows.every)
    except lookup.NoLedger:
        return 0, 0
    return sum(keys.state(row, time.time()) == "works" for row in found), len(found)


_LOOKS: dict[str, Callable[[Settings], Awaitable[list[Finding]]]] = {
    "python": _python,
    "disk": _disk,
    "open files": _files,
    "java": _java,
    "broker": _broker,
    "database": _database,
    "schedules": _schedules,
    "door": _door,
    "provider": _provider,
    "port": _ports,
}
