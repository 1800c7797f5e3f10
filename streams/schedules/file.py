"""The schedules of `GENAI_SCHEDULES_FILE`: read at start, which refuses a broken file, and again whenever the file changes."""

import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import structlog
from pydantic import ValidationError

from agents.pipelines.defining import Shelf
from providers import marked
from providers.marked import Broken, Fault
from schemas.runs import NewRun
from schemas.schedules import File, NewSchedule
from streams.decode import Decoder
from streams.errors import SpineError
from streams.schedules.checking import World, Wrong, check
from streams.settings import Settings

log = structlog.get_logger(__name__)

Wanted = Mapping[str, NewSchedule]
NONE: Wanted = MappingProxyType({})
_Seen = tuple[int, int, int]
_KNOWN: Mapping[int, tuple[str, ...]] = MappingProxyType(
    {1: tuple(File.model_fields), 3: tuple(NewSchedule.model_fields), 4: tuple(NewRun.model_fields)}
)


def load(settings: Settings, decoder: Decoder | None = None, shelf: Shelf | None = None) -> Wanted:
    """The file's schedules; none without a file. Raises SpineError, which names the file and every place that is wrong."""
    if not settings.schedules_file:
        return NONE
    path = Path(settings.schedules_file).expanduser()
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise SpineError(
            f"GENAI_SCHEDULES_FILE={settings.schedules_file} cannot be read ({error.strerror}); mend the path."
        ) from None
    world = World(settings.default_tenant, settings.outbound(), decoder, shelf, prompts=False)
    try:
        return parse(raw, str(path), world)
    except Broken as error:
        raise SpineError(f"The schedules of GENAI_SCHEDULES_FILE cannot be used: {error}") from None


def parse(raw: bytes, name: str, world: World) -> Wanted:
    """Raises `Broken`, which names every place that is wrong."""
    written, marks = marked.read(raw, name, "`schedules:` and names below it")
    try:
        file = File.model_validate(written)
    except ValidationError as error:
        raise Broken(name, marked.faults(error, marks, _KNOWN)) from None
    faults, at = [], time.time()
    for named, said in file.schedules.items():
        try:
            check(named, said, at, world)
        except Wrong as error:
            place = marked.at(marks, ("schedules", named, *error.path))
            faults.append(Fault(*place, f"`{named}`: {error}"))
    if faults:
        raise Broken(name, faults)
    return MappingProxyType(file.schedules)


class Watched:
    """The file as it is now. `ok`, `why` and `since` are for whoever asks how it is; the last good one stays in use."""

    def __init__(self, settings: Settings, decoder: Decoder, shelf: Shelf) -> None:
        """Raises SpineError when it cannot be used."""
        self.path = Path(settings.schedules_file).expanduser() if settings.schedules_file else None
        self._settings, self._decoder, self._shelf = settings, decoder, shelf
        self.ok, self.why, self.since = True, "", time.time()
        self._seen = self._look()
        self.wanted = load(settings, decoder, shelf)

    def changed(self) -> bool:
        """Whether it has been written since, and can be used; it is in `wanted` then."""
        seen = self._look()
        if self.path is None or seen == self._seen:
            return False
        self._seen = seen
        try:
            self.wanted = load(self._settings, self._decoder, self._shelf)
        except SpineError as error:
            log.error("the schedules stay as they were", why=str(error))  # noqa: TRY400 - the sentence says all
            self.says(f"{error} The schedules before it go on.")
            return False
        log.info("schedules were read again", file=str(self.path), schedules=len(self.wanted))
        self.says("")
        return True

    def says(self, why: str) -> None:
        """What is wrong with it; empty: nothing."""
        self.since = self.since if self.ok == (not why) else time.time()
        self.ok, self.why = not why, why

    def _look(self) -> _Seen | None:
        """What changes with the file, also where a link to it is turned; None: it is not there."""
        try:
            found = self.path.stat() if self.path is not None else None
        except OSError:
            return None
        return None if found is None else (found.st_ino, found.st_mtime_ns, found.st_size)
