"""Who reads along while an answer is made: in this process from its own engine, else by what another one sends across."""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Iterator

import structlog

from agents.engine.poster import unpack
from providers.calls import Delta
from store.errors import StoreError
from store.ledger import pieces
from store.ledger.pieces import Piece, Place
from streams.spine import Spine

log = structlog.get_logger(__name__)
LOOK_S = 0.05
"""Between two looks for pieces that come across."""

Identity = tuple[str, str, str]
_NOTHING = Delta()


class Along:
    """One answer while it is made, for any number of readers; whoever comes late reads it from its beginning."""

    def __init__(self) -> None:
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        self.place: tuple[int, int] | None = None
        """Attempt and call of the pieces."""
        self.pieces: list[Delta] = []
        self.anew = False
        """Another attempt has begun to answer, after pieces of the one before."""
        self.events: set[asyncio.Event] = set()
        self.pk: int | None = None
        """Of the row, if pieces may come across."""
        self.generation: int | None = None
        """Of pieces that stay, which are read in the ledger only."""
        self._came: tuple[int, int] | None = None
        self._gap = False

    def hear(self, place: tuple[int, int], delta: Delta) -> None:
        """A piece; from any thread."""
        if threading.get_ident() == self._thread:
            self._take(place, delta)
        else:
            self._loop.call_soon_threadsafe(self._take, place, delta)

    def came(self, piece: Piece) -> None:
        """Pieces from another process. Behind a gap nothing more is taken: the rest stands in the result."""
        fence, expected = self._came or (piece.fence, 0)
        if piece.fence > fence:
            fence, expected = piece.fence, 0
        self._gap = self._gap or piece.number != expected
        if piece.fence < fence or self._gap:
            return
        self._came = fence, expected + 1
        for place, delta in unpack(piece.body):
            self._take(place, delta)

    def place_in_ledger(self) -> Place | None:
        """Behind what has come of the pieces that stay; None: nothing more can come."""
        if self.pk is None or self.generation is None or self._gap:
            return None
        return Place(self.pk, self.generation, *(self._came or (0, 0)))

    def _take(self, place: tuple[int, int], delta: Delta) -> None:
        if delta == _NOTHING or (self.place is not None and place < self.place):
            return
        if self.pieces and place != self.place:
            self.anew = True
        else:
            self.place = place
            self.pieces.append(delta)
        self.wake()

    def wake(self) -> None:
        """Something is new."""
        for event in self.events:
            event.set()


class Reader:
    """One caller's place in an answer."""

    def __init__(self, along: Along) -> None:
        self.along, self._next, self._event = along, 0, asyncio.Event()

    def new(self) -> list[Delta]:
        """What has come since the last time."""
        found = self.along.pieces[self._next :]
        self._next += len(found)
        self._event.clear()
        return found

    async def wait(self, seconds: float) -> bool:
        """Until something is new; False: nothing was for so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        return True

    @contextlib.contextmanager
    def awake(self) -> Iterator[None]:
        """Inside, what is new wakes it."""
        self.along.events.add(self._event)
        try:
            yield
        finally:
            self.along.events.discard(self._event)


class Alongs:
    """Of one process. `start` and `stop` belong to whoever made it."""

    def __init__(self, spine: Spine) -> None:
        self._spine = spine
        self._open: dict[Identity, tuple[Along, int]] = {}
        self._task: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()
        self._reading = asyncio.Lock()

    def start(self) -> None:
        """Look for what comes across, while somebody reads."""
        self._task = asyncio.create_task(self._look(), name="along")

    async def stop(self) -> None:
        """No more looks; what this process makes itself is still read."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @contextlib.contextmanager
    def reading(self, identity: Identity) -> Iterator[Reader]:
        """Before the request is accepted: its first word may come at once."""
        along, count = self._open.get(identity) or (Along(), 0)
        self._open[identity] = along, count + 1
        self._spine.engine.readers[identity] = along.hear
        reader = Reader(along)
        try:
            with reader.awake():
                yield reader
        finally:
            along, count = self._open[identity]
            if count > 1:
                self._open[identity] = along, count - 1
            else:
                del self._open[identity]
                self._spine.engine.readers.pop(identity, None)

    def across(self, reader: Reader, pk: int) -> None:
        """This row may be run elsewhere, so its pieces are looked for too."""
        reader.along.pk = pk
        self._wanted.set()

    def in_ledger(self, reader: Reader, pk: int, generation: int) -> None:
        """This row's pieces stay, so they are read there, whoever makes them."""
        reader.along.generation = generation
        self.across(reader, pk)

    async def catch_up(self, reader: Reader) -> None:
        """All that stays there now is read. Raises `StoreError`."""
        await self._read([reader.along])

    async def _look(self) -> None:
        while True:
            await self._wanted.wait()
            while wanted := {along.pk: along for along, _ in self._open.values() if along.pk is not None}:
                mine = self._spine.engine.tasks
                if staying := [along for along in wanted.values() if along.generation is not None]:
                    await self._try(self._read(staying))
                if away := [pk for pk, along in wanted.items() if pk not in mine and along.generation is None]:
                    await self._try(self._take(away, wanted))
                await asyncio.sleep(LOOK_S)
            self._wanted.clear()

    async def _try(self, look: Awaitable[None]) -> None:
        try:
            await look
        except (StoreError, TimeoutError) as error:
            log.debug("cannot look for pieces of answers", error=str(error))

    async def _take(self, away: list[int], wanted: dict[int, Along]) -> None:
        database = self._spine.database
        if not await database.read(lambda conn: pieces.are_any(conn, away)):
            return
        for piece in await database.write(lambda conn: pieces.take(conn, away)):
            wanted[piece.pk].came(piece)

    async def _read(self, staying: list[Along]) -> None:
        """One after the other: what two looks bring at the same time would come twice."""
        async with self._reading:
            places = {place.pk: (place, along) for along in staying if (place := along.place_in_ledger()) is not None}
            asked = [place for place, _ in places.values()]
            for piece in await self._spine.database.read(lambda conn: pieces.since(conn, asked)):
                places[piece.pk][1].came(piece)
