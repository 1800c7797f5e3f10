"""What the HTTP doors see of their process: its parts once they are there, and until then what it waits for."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import structlog

from agents import OPERATIONS
from providers.base import Lacking, Provider, Telling
from store.errors import StoreError
from store.ledger import leaving
from streams import lag
from streams.broker import probe
from streams.lag import Lag
from streams.settings import Settings
from streams.spine import Spine
from streams.web.along import Alongs
from streams.web.gate import Gate
from streams.web.keyring import Keyring
from streams.web.limits import Minutes
from streams.web.looker import Looker
from streams.web.problems import unavailable
from streams.web.waiters import Waiters

if TYPE_CHECKING:
    from streams.web.tokens import Tokens

log = structlog.get_logger(__name__)

_PROVIDER_EVERY_S = 15.0
_PROVIDER_FIRST_S = 0.5
_BROKER_EVERY_S = 2.0
_UNREAD_FIRST_S = 2.0
_UNREAD_EVERY_S = 30.0


@dataclass
class Part:
    """One thing that works or does not. `needed`: without it the process is not ready."""

    ok: bool
    why: str = ""
    since: float = field(default_factory=time.time)
    needed: bool = True

    def changed(self, ok: bool, why: str) -> "Part":
        """The same part now; `since` moves only when `ok` does."""
        return Part(ok, why, self.since if ok == self.ok else time.time(), self.needed)


@dataclass
class Front:
    """The doors are open before the parts are there and after they are gone; `spine` is None then."""

    settings: Settings
    name: str
    """worker, web, or both: what /health says of itself."""
    spine: Spine | None = None
    waiters: Waiters | None = None
    alongs: Alongs | None = None
    starting: Part = field(default_factory=lambda: Part(ok=False, why="starting"))
    provider: Part = field(default_factory=lambda: Part(ok=False, why="not asked yet", needed=False))
    bootstrap: str | None = None
    broker: Part = field(default_factory=lambda: Part(ok=True))
    """Whether anything listens there: an idle relay would not notice that its broker has gone."""
    nodes: Part = field(default_factory=lambda: Part(ok=True, needed=False))
    """Whether any is left alone because it failed again and again; others, or later ones, do its work."""
    intake: Part = field(default_factory=lambda: Part(ok=False, why="not begun yet"))
    """As it was looked at last; since when, as far as anybody has looked."""
    started_at: float = field(default_factory=time.time)
    leaving: bool = False
    promised: set[tuple[int, int]] = field(default_factory=set)
    """(pk, generation) of requests whose callers wait, and are told where to ask again when there is no answer by then."""
    gate: Gate = field(init=False)
    looker: Looker = field(init=False)
    """What waits, looked up for people and for the door, at most once a second."""
    retention: Part = field(default_factory=lambda: Part(ok=True, why="not asked yet", needed=False))
    """Whether Kafka is about to delete records that nobody has read. Not needed: to work on is what helps."""
    keys: Keyring = field(default_factory=Keyring)
    minutes: Minutes = field(default_factory=Minutes)
    """What keys may still ask for in this minute."""
    tokens: "Tokens | None" = field(init=False)
    """Checks tokens of services, where the settings trust an issuer."""
    unread: Lag | None = None
    """How old what this worker's group has not read is; None: not asked yet, or no worker."""

    def __post_init__(self) -> None:
        self.looker = Looker(self.settings)
        self.tokens = _tokens(self.settings)
        self.gate = Gate(self.settings.http_window, self.looker)

    def wait_for(self, why: str) -> None:
        """Say what the start is waiting for; told once in the log, and all the time at /ready."""
        if why != self.starting.why:
            log.warning(why) if not self.starting.ok else None
            self.starting = Part(ok=False, why=why)

    @contextlib.asynccontextmanager
    async def open(self, spine: Spine) -> AsyncIterator[Waiters]:
        """Requests are taken inside; leaving it, no more, while those who wait still get what the drain brings."""
        await self.keys.start(spine.database)
        waiters = Waiters(spine)
        waiters.start()
        alongs = Alongs(spine)
        alongs.start()
        watches = [
            asyncio.create_task(watch)
            for watch in (self._watch_provider(spine), self._watch_broker(), self._watch_unread())
        ]
        self.spine, self.waiters, self.alongs, self.starting = spine, waiters, alongs, Part(ok=True)
        try:
            yield waiters
        finally:
            self.leaving = True
            for watch in watches:
                watch.cancel()
            await asyncio.gather(*watches, return_exceptions=True)
            await self.stay(self.promised)
            await waiters.stop()
            await self.keys.stop()
            await alongs.stop()

    async def stay(self, places: Collection[tuple[int, int]]) -> None:
        """Who asked for these is told where to ask again: nobody's leaving ends them any more."""
        if self.spine is None or not places:
            return
        try:
            await self.spine.database.write(partial(leaving.stay, places=tuple(places)))
        except StoreError as error:
            log.warning("requests may end with this process: the database is away", error=str(error))

    def close(self) -> None:
        """The parts are gone."""
        self.leaving, self.spine = True, None
        if self.waiters is not None:
            self.waiters.release()

    def parts(self) -> Spine:
        """The process's parts. Raises `Problem` 503 while there are none."""
        if self.spine is None:
            words = "This process is ending." if self.leaving else f"This process is starting: {self.starting.why}."
            raise unavailable(f"{words} Ask again in a moment.")
        return self.spine

    async def _watch_broker(self) -> None:
        while self.bootstrap is not None:
            ok = await asyncio.to_thread(_any_reachable, self.bootstrap)
            self.broker = self.broker.changed(ok, "" if ok else f"nobody answers at {self.bootstrap}")
            await asyncio.sleep(_BROKER_EVERY_S)

    async def _watch_unread(self) -> None:
        while self.bootstrap is not None:
            await asyncio.sleep(_UNREAD_FIRST_S)
            found = await lag.look(self.bootstrap, self.settings.kafka_group, OPERATIONS, ages=True)
            danger, unknown = found.danger(), f"not known: {found.why}" if found.why else ""
            self.unread, self.retention = found, self.retention.changed(not danger, danger or unknown)
            await asyncio.sleep(_UNREAD_EVERY_S)

    async def _watch_provider(self, spine: Spine) -> None:
        provider = spine.providers.get(self.settings.default_provider)
        if provider is None:
            known = ", ".join(sorted(spine.providers))
            why = f"GENAI_DEFAULT_PROVIDER={self.settings.default_provider} is not known; known are {known}"
            self.provider = Part(ok=False, why=why, needed=False)
            return
        if isinstance(provider, Lacking) and provider.missing:
            self.provider = Part(ok=False, why=provider.missing)
            return
        await asyncio.sleep(_PROVIDER_FIRST_S)
        while True:
            self.provider = self.provider.changed(*await provider_state(provider, self.settings.default_model))
            await asyncio.sleep(_PROVIDER_EVERY_S)


def _tokens(settings: Settings) -> "Tokens | None":
    """Its library takes a tenth of a second to import, and most have no use for it."""
    if not settings.jwt_jwks:
        return None
    from streams.web.tokens import Tokens, trust

    told = trust(settings)
    return None if told is None else Tokens(told)


def _any_reachable(bootstrap: str) -> bool:
    return any(probe.reachable(address) for address in bootstrap.split(","))


async def provider_state(provider: Provider, model: str | None) -> tuple[bool, str]:
    """Whether it answers and has the model that requests get by default; else a sentence."""
    try:
        names = await provider.models()
    except Exception as error:  # noqa: BLE001 - a look must never end the one who looks
        return False, f"{provider.name} does not answer ({type(error).__name__})"
    if not names:
        away = (await provider.shelf()).away if isinstance(provider, Telling) else ()
        return False, " ".join((f"{provider.name} does not answer at {', '.join(provider.nodes())}.", *away))
    wanted = model or provider.default_model("chat")
    if wanted not in names and f"{wanted}:latest" not in names:
        return False, f"{provider.name} does not have the model {wanted}; it has {', '.join(names[:20])}"
    return True, ""
