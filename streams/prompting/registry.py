"""The registry of prompts between the database and the library: drafts in, entries out, each process up to date.

A process holds in memory which prompts there are and what their labels stand for, so that a label costs a request no look into the
database, and of what versions say as much as there is room for; the rest is read when somebody asks for it. Once a second it asks
whether anything was changed, which is one number. What it does not know when a request names it is looked for once more.
"""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import orjson
import structlog
from pydantic import ValidationError
from sqlalchemy import Connection

from prompts import Library, PromptError, UnknownPrompt
from prompts.files import Prompt
from prompts.includes import Source, expanded
from prompts.kept import Kept, Key
from prompts.registered import Entry, wording
from prompts.variables import Variable
from schemas.pin import pins
from schemas.prompts import Wording
from store.database import Database
from store.errors import StoreError
from store.ledger.types.records import Routes
from store.registry import read, write
from store.registry.write import About, Draft
from streams.prompting import memory

T = TypeVar("T")
log = structlog.get_logger(__name__)
_STOOD = 4
"""Former states of the registry that are kept: runs that go on at the same time were mostly accepted with the same one."""
_FIELDS = ("system", "user", "variables", "input_schema", "output_schema", "preferences", "notes")


class BadPrompt(Exception):
    """What was written is no prompt; the message names each field."""


class Registry:
    """Keeps one process's library as the database has it. `most`: bytes of what versions say that are kept."""

    def __init__(self, database: Database, library: Library, routes: Routes, poll_s: float, most: int) -> None:
        self._database, self._library, self._routes, self._poll_s = database, library, routes, poll_s
        self._most, self._kept = most, Kept(most)
        self._known: dict[str, Entry] = {}
        self._marks: Mapping[str, tuple[int, int]] = {}
        self._own: list[object] = []
        self._stood: OrderedDict[int, Library] = OrderedDict()
        self._revision = -1
        self._lock = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Bring the program's own prompts into the database, and read what is there."""
        await self._database.write(lambda conn: seed(conn, self._routes, self._library))
        await self.refresh()
        self._task = asyncio.create_task(self._poll(), name="registry")

    async def aclose(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def refresh(self) -> bool:
        """Whether anything had changed since we looked. Raises `StoreError`."""
        async with self._lock:
            if await self._database.read(read.revision) == self._revision:
                return False
            found = await self._database.read(partial(read.index, known=self._marks))
            changed = memory.entries(found)
            self._known |= changed
            await self._bring(memory.worth(changed, found, self._most, self._most - self._kept.size))
            self._own = await self._bring(memory.own(self._known.values()))
            self._library.register(self._known.values(), self._kept)
            self._marks, self._revision = found.marks, found.revision
            return True

    async def refreshed(self) -> bool:
        """The same for whoever can go on without: a database that is away changes nothing."""
        try:
            return await self.refresh()
        except StoreError:
            return False

    async def as_of(self, revision: int | None) -> Library:
        """The library as the registry stood at that revision; None: as it is, and goes on to change. Raises `StoreError`."""
        if revision is None:
            return self._library
        if revision not in self._stood:
            await self.refresh()
            known = list(self._known.values())  # before it is asked what came since: nothing of that may stay in
            since = await self._database.read(partial(read.since, revision=revision))
            self._stood[revision] = self._library.as_of(memory.before(known, since), self._kept)
        self._stood.move_to_end(revision)
        while len(self._stood) > _STOOD:
            self._stood.popitem(last=False)
        return self._stood[revision]

    async def decoded(self, decode: Callable[[], T], unsure: Callable[[T], bool] = lambda _: False) -> T:
        """What it returns, once the versions that it looks for are in memory; where that is `unsure`, after one more look at what was
        changed. Raises `StoreError` where versions cannot be read, and what `decode` raises.
        """
        found = await self._decoded(decode)
        if unsure(found) and await self.refreshed():
            return await self._decoded(decode)
        return found

    async def _decoded(self, decode: Callable[[], T]) -> T:
        held: list[object] = []
        while True:
            self._kept.missed()
            try:
                found = decode()
            except Exception:
                if not (missed := self._kept.missed()):
                    raise
            else:
                if not (missed := self._kept.missed()):
                    return found
            held += await self._bring(missed)

    def missed(self) -> bool:
        """Whether anything was looked for in vain since this was asked last."""
        return bool(self._kept.missed())

    async def ensure(self, pinned: str) -> object:
        """Look once more where a request was accepted with a version that this process has not seen, or has forgotten. Whoever has what
        is returned keeps it here. Waits for a database that is away: without it the request could not go on either.
        """
        while True:
            try:
                await self.decoded(partial(self._has, pinned), lambda has: not has)
                return self._kept.held((pin.id, pin.version) for pin in pins(pinned))
            except StoreError as error:
                log.debug("prompts cannot be read", error=str(error))
                await asyncio.sleep(self._poll_s)

    def _has(self, pinned: str) -> bool:
        """Where there is no such wording, the operation says so."""
        try:
            for pin in pins(pinned):
                self._library.pinned(pin)
        except PromptError:
            return False
        return True

    async def _bring(self, wanted: Sequence[Key]) -> list[object]:
        """Into memory. Whoever has what is returned has what was wanted, however little is kept."""
        held, more = self._kept.held(wanted), [key for key in wanted if key not in self._kept]
        if more:
            rows = await self._database.read(partial(read.bodies, wanted=more))
            self._kept.put(memory.made(rows, self._known, more))
        return held + self._kept.held(more)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            with contextlib.suppress(StoreError):
                await self.refresh()


def seed(conn: Connection, routes: Routes, library: Library) -> list[str]:
    """The slugs of the files whose wordings were new to the registry."""
    found = []
    for slug in library.slugs():
        prompt = library.get(slug)
        about = About(name=slug, description=prompt.description, is_public=True)
        drafts = [_of_file(library, prompt, version.version) for version in prompt.versions]
        if write.seed(conn, routes, prompt.id, slug, about, drafts):
            found.append(slug)
    return found


def _of_file(library: Library, prompt: Prompt, number: int) -> Draft:
    made = library.wording(prompt.slug, number)
    body = made.version.model_dump(mode="json", exclude={"version"}, exclude_none=True, exclude_defaults=True)
    variables = [each.model_dump(mode="json", exclude_unset=True) for each in made.variables]
    return Draft(body | {"variables": variables}, made.digest, origin=number)


def draft(conn: Connection, tenant: str, slug: str, said: Wording, notes: str) -> Draft:
    """A version as it was written, with what it includes. Raises `BadPrompt`."""
    source = {"system": said.system, "user": said.template}
    try:
        full: dict[str, Any] = {}
        included: list[Source] = []
        for field, text in source.items():
            full[field], taken = (None, []) if text is None else expanded(slug, text, _finder(conn, tenant))
            included += taken
    except PromptError as error:
        raise BadPrompt(f"`template`: {error}") from error
    body = said.model_dump(exclude={"template", "system"}, exclude_none=True) | full | {"notes": notes}
    body = {name: body[name] for name in _FIELDS if body.get(name) not in (None, {})}
    checked = _checked(slug, body)
    if not included:
        return Draft(body, checked)
    named = dict.fromkeys((each.slug, each.version) for each in included)
    within = frozenset(each.slug for each in included).union(*(each.within for each in included))
    return Draft(body, checked, source=source | {"includes": list(named), "within": sorted(within)})


def _checked(slug: str, body: Mapping[str, Any]) -> str:
    """The digest. Raises `BadPrompt`."""
    try:
        for number, variable in enumerate(body.get("variables") or ()):
            _field(f"variables.{number}", lambda: Variable.model_validate(variable))  # noqa: B023 - called at once
        return wording("new", slug, "", {"version": 1, **body}).digest
    except ValidationError as error:
        raise BadPrompt("; ".join(_said(item) for item in error.errors(include_url=False)[:5])) from error


def _field(name: str, read_it: Callable[[], object]) -> None:
    try:
        read_it()
    except ValidationError as error:
        found = error.errors(include_url=False)[:5]
        where = (".".join(map(str, (name, *item["loc"]))) for item in found)
        said = (item["msg"].removeprefix("Value error, ") for item in found)
        raise BadPrompt("; ".join(f"`{at}`: {words}" for at, words in zip(where, said, strict=True))) from error


def _said(item: Any) -> str:
    """Pydantic's finding about a version, by the names under which it was written."""
    where = ".".join(str(part) for part in item["loc"] if part not in {"versions", 0})
    words: str = item["msg"].removeprefix("Value error, ")
    if not where and words.startswith("versions.0."):
        where, _, words = words.removeprefix("versions.0.").partition(": ")
    name = "template" if where == "user" else where
    return f"`{name}`: {words}" if name else words


def _finder(conn: Connection, tenant: str) -> Any:
    def find(slug: str, version: int | None) -> Source:
        prompt = read.one(conn, slug, tenant)
        if prompt is None:
            raise UnknownPrompt(
                f"there is no prompt '{slug}' to include; there are {', '.join(read.slugs(conn, tenant))}"
            )
        rows = {row.version: row for row in read.versions(conn, prompt.id)}
        number = prompt.latest if version is None else version
        if number not in rows:
            raise UnknownPrompt(
                f"the prompt '{slug}' has no version {number}; it has {', '.join(map(str, sorted(rows)))}"
            )
        row = rows[number]
        within = () if row.source is None else orjson.loads(row.source).get("within", ())
        return Source(slug, number, orjson.loads(row.body)["user"], frozenset(within))

    return find


def said(body: Mapping[str, Any], source: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A version's stored fields as a person wrote them: `template` where the library says `user`."""
    written = source or {}
    told = {name: body.get(name) for name in _FIELDS if name not in {"user", "system"}}
    return {
        "system": written.get("system", body.get("system")),
        "template": written.get("user", body["user"]),
        "variables": told["variables"] or [],
        "input_schema": told["input_schema"],
        "output_schema": told["output_schema"],
        "preferences": told["preferences"] or {},
        "notes": told["notes"],
    }
