"""The model that judges for the guard `moderation`, where the settings name one: asked by a request of its own, in the ledger.

So its slots, its price, its budget and its tries are those of any request, an equal text is answered from the cache, and a request that is
run again finds the verdict that it was waiting for.

Nobody waits in a ring: whoever is judged holds a slot meanwhile, so a request whose own model may be the judge is judged by
that model in its own slot, and so is one whose nodes would have to put its model away for the judge. A judge waits for nobody.
"""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from agents import OPERATIONS
from agents.base import Caller, OperationError
from agents.engine.caller import LedgerCaller
from agents.engine.engine import Engine
from providers import routes
from providers.base import Placing, Provider
from providers.errors import RateLimited
from providers.routes import Model
from schemas.errors import ErrorType
from schemas.moderate import Output, Verdict
from schemas.request import REPLAYS, Lane, Request
from store.database import Database
from store.errors import StoreError
from store.ledger import queries
from store.ledger.types.arrivals import Accepted, Arrival, Ask
from store.ledger.types.claims import Claimed
from store.rows import pack_headers
from streams.choosing import Router
from streams.decode import Decoder

OPERATION = "moderate"
_AGAIN_S = 1.0
_Place = tuple[int, int]


class NoVerdict(OperationError):
    """The judge gave none, so nothing passes."""

    def __init__(self, words: str, type_: ErrorType) -> None:
        super().__init__(f"The guard `moderation` has no verdict: {words}")
        self.failure.type = type_


class Judge:
    """`engine` is set once it is there; nothing is judged before."""

    engine: Engine

    def __init__(self, decoder: Decoder, database: Database, poll_s: float) -> None:
        self._decoder, self._database, self._poll_s = decoder, database, poll_s
        self._waiting: dict[_Place, asyncio.Future[bytes]] = {}

    def start(self, engine: Engine) -> None:
        """Hear what ends in this process."""
        self.engine = engine
        engine.on_end.append(self._ended)

    async def __call__(self, caller: Caller, text: str) -> Verdict | None:
        """None: the request's own model judges. Raises NoVerdict, and RateLimited, to be tried again, where the judge takes too long
        or the database is away.
        """
        if not isinstance(caller, LedgerCaller) or is_own(self._decoder.router, caller.claim):
            return None
        try:
            result = orjson.loads(await self._asked(caller, text))
        except StoreError as error:
            words = f"The guard `moderation` has no verdict: the database is away ({error})."
            raise RateLimited(words, retry_after_s=_AGAIN_S) from error
        if result["status"] != "succeeded":
            failure = result["error"] or {"type": ErrorType.TIMEOUT, "message": f"it was {result['status']}"}
            raise NoVerdict(failure["message"], ErrorType(failure["type"]))
        return Output.model_validate(result["output"]).results[0]

    async def _asked(self, caller: LedgerCaller, text: str) -> bytes:
        what, raw = asking(self._decoder, caller.claim, text)
        if what.failure is not None:
            raise NoVerdict(what.failure.message, what.failure.type)
        await self.engine.pools.ensure((what.provider, what.model))
        (found,) = await self.engine.accept([Arrival(what, None, None, raw, pack_headers([]))])
        if found.body is not None:
            return found.body
        if found.pk is None:
            raise NoVerdict("the database cannot keep the text", ErrorType.INVALID_REQUEST)
        try:
            async with asyncio.timeout(caller.timeout_s):
                return await self._end(found, found.pk)
        except TimeoutError:
            words = (
                f"The guard `moderation` got no verdict of {what.provider}/{what.model} within {caller.timeout_s:g} s."
            )
            raise RateLimited(words, retry_after_s=_AGAIN_S) from None

    async def _end(self, found: Accepted, pk: int) -> bytes:
        """Told by this process's engine, or seen in the ledger where another one ran it."""
        place = (pk, found.generation)
        ended = self._waiting.setdefault(place, asyncio.get_running_loop().create_future())
        try:
            while True:
                body = await self._database.read(lambda conn: queries.result_of(conn, *place))
                if body is not None:
                    return body
                done, _ = await asyncio.wait([ended], timeout=self._poll_s)
                if done:
                    return ended.result()
        finally:
            self._waiting.pop(place, None)

    def _ended(self, claim: Claimed, body: bytes) -> None:
        waiting = self._waiting.get((claim.pk, claim.generation))
        if waiting is not None and not waiting.done():
            waiting.set_result(body)


def is_own(router: Router, claim: Claimed) -> bool:
    """Whether the request's own model judges."""
    if router.moderation_model is None:
        return True
    found = router.named(OPERATIONS[OPERATION], Request(input={}))
    judges = [found] if isinstance(found, Model) else routes.models(router.table, found)
    own = Model(claim.provider, claim.model)
    return own in judges or any(_would_push_out(router.providers, claim, judge) for judge in judges)


def _would_push_out(providers: Mapping[str, Provider], claim: Claimed, judge: Model) -> bool:
    provider = providers[judge.provider]
    return judge.provider == claim.provider and isinstance(provider, Placing) and provider.holds > 0


def asking(decoder: Decoder, claim: Claimed, text: str) -> tuple[Ask, bytes]:
    """The judge's request: the same text of the same request is the same one, in whatever attempt."""
    named = orjson.dumps([claim.tenant, claim.operation, claim.id, claim.generation, text])
    record: dict[str, Any] = {
        "id": f"guard/{hashlib.blake2b(named, digest_size=16).hexdigest()}",
        "tenant": claim.tenant,
        "input": {"content": text},
        "metadata": {"guards": {"operation": claim.operation, "id": claim.id}},
    }
    if claim.run_id is not None and not claim.run_id.startswith(REPLAYS):
        record["run_id"] = claim.run_id
    raw = orjson.dumps(record)
    what = decoder.ask(OPERATION, Lane(claim.lane), raw, (), place="", tenant=claim.tenant)
    assert isinstance(what, Ask)
    return replace(what, key_id=claim.key_id, quiet=True), raw
