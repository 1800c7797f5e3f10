"""Short-lived tokens of services: a JWT that somebody else has signed stands for a key. Their public keys come by URL or from a file.

Only algorithms with a public key are believed, and only those of the settings: a token cannot choose how it is checked.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
import structlog
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey

from streams.keys import globs
from streams.requested import named
from streams.settings import Settings
from streams.web.principal import EVERY, Principal, Scopes
from streams.web.problems import Problem, unavailable

log = structlog.get_logger(__name__)

FRESH_S = 300.0
AGAIN_S = 10.0
"""For a key that nobody knows, or after a failure, the issuer is asked at most so often."""
LONGEST_S = 86_400
"""A token that lives longer is none of the short-lived ones that are meant: nobody can revoke it."""
_MOST_BYTES = 16_384
_MOST_KEYS_BYTES = 1 << 20
_TIMEOUT_S = 5.0
_KINDS: Mapping[str, Any] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
_SCOPES = ("operations", "models", "lanes")


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose tokens are believed, and for what."""

    jwks: str
    issuer: str
    audience: str
    algorithms: tuple[str, ...]
    leeway_s: int
    tenant_claim: str
    scope_claim: str


def trust(settings: Settings) -> Trust | None:
    """None: no tokens are taken."""
    if not settings.jwt_jwks:
        return None
    return Trust(
        settings.jwt_jwks,
        settings.jwt_issuer,
        settings.jwt_audience,
        tuple(part.strip() for part in settings.jwt_algorithms.split(",") if part.strip()),
        settings.jwt_leeway_s,
        settings.jwt_tenant_claim,
        settings.jwt_scope_claim,
    )


class Tokens:
    """Checks tokens against the issuer's keys, which it knows again from time to time."""

    def __init__(self, trust: Trust, clock: Callable[[], float] = time.time) -> None:
        self._trust, self._clock = trust, clock
        self._keys: KeySet | None = None
        self._asked_at = -AGAIN_S
        self._known_at = -FRESH_S
        self._asking = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def find(self, given: str) -> Principal | str:
        """Who it stands for, or a sentence why it does not. Raises `Problem` 503 while the issuer's keys are not known."""
        if len(given) > _MOST_BYTES:
            return "The token is too long"
        if self._unknown(given):
            await self._ask()
        elif time.monotonic() - self._known_at > FRESH_S and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._ask(), name="jwks")  # nobody waits: what is known goes on to count
        return self._said(given)

    def _unknown(self, given: str) -> bool:
        """The issuer may have a new key."""
        with contextlib.suppress(Exception):
            kid = jws.extract_compact(given.encode()).headers().get("kid")
            return self._keys is None or all(key.kid != kid for key in self._keys)
        return False

    def _said(self, given: str) -> Principal | str:
        """Whatever a stranger's token makes of the library, it does not work."""
        try:
            return self._checked(given)
        except Problem:
            raise
        except Exception as error:  # noqa: BLE001
            words = str(error).rstrip(".") or type(error).__name__
            return f"The token does not work ({words[:200]})"

    def _checked(self, given: str) -> Principal:
        if self._keys is None:
            raise unavailable("The keys that tokens are checked with are not known yet. Ask again in a moment.")
        told = self._trust
        token = jwt.decode(given, self._keys, algorithms=list(told.algorithms))
        now = int(self._clock())
        jwt.JWTClaimsRegistry(
            now=now,
            leeway=told.leeway_s,
            iss={"essential": True, "value": told.issuer},
            aud={"essential": True, "value": told.audience},
            exp={"essential": True},
            sub={"essential": True},
        ).validate(token.claims)
        if not token.claims["exp"] - now <= LONGEST_S:  # NaN too
            raise ValueError("it lives longer than a day")
        return principal(token.claims, told)

    async def _ask(self) -> None:
        """At most every `AGAIN_S`; whoever comes meanwhile waits for the same answer. What is known stays known."""
        async with self._asking:
            if time.monotonic() - self._asked_at < AGAIN_S:
                return
            self._asked_at = time.monotonic()
            try:
                self._keys = imported(await _fetched(self._trust.jwks))
                self._known_at = time.monotonic()
            except (OSError, httpx.HTTPError, ValueError, JoseError) as error:
                log.warning("the keys of GENAI_JWT_JWKS cannot be read", error=str(error) or type(error).__name__)


async def _fetched(where: str) -> bytes:
    if "://" not in where:
        return await asyncio.to_thread(lambda: Path(where).expanduser().read_bytes())
    async with (
        httpx.AsyncClient(timeout=_TIMEOUT_S, follow_redirects=False, trust_env=False) as client,
        client.stream("GET", where) as reply,
    ):
        reply.raise_for_status()
        found = bytearray()
        async for part in reply.aiter_bytes():
            found += part
            if len(found) > _MOST_KEYS_BYTES:
                raise ValueError("the answer is too long for a key set")
        return bytes(found)


def imported(raw: bytes) -> KeySet:
    """The public keys of a key set; those for other uses, and those of kinds that we do not believe, are left out. Raises ValueError."""
    told = orjson.loads(raw)
    if not isinstance(told, dict) or not isinstance(told.get("keys"), list):
        raise ValueError("it is no JSON Web Key Set")  # noqa: TRY004 - it is a document that is wrong
    found = []
    for each in told["keys"]:
        kind = _KINDS.get(str(each.get("kty"))) if isinstance(each, dict) else None
        if kind is None or each.get("use") not in {None, "sig"}:
            continue
        try:
            found.append(kind.import_key({name: value for name, value in each.items() if name not in _PRIVATE}))
        except (JoseError, ValueError) as error:
            log.warning("a key of GENAI_JWT_JWKS is left out", kid=each.get("kid"), error=str(error))
    if not found:
        raise ValueError("it holds no public key for signatures")
    return KeySet(found)


_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "key_ops"})


def principal(claims: Mapping[str, Any], told: Trust) -> Principal:
    """Who a token's claims stand for. Raises ValueError."""
    scopes = _scopes(claims.get(told.scope_claim))
    tenant = claims.get(told.tenant_claim)
    if scopes.admin:
        tenant = None
    elif not isinstance(tenant, str):
        raise ValueError(f"it names no tenant (the claim {told.tenant_claim})")
    for name, value in (("tenant", tenant), ("sub", claims["sub"])):
        (named(name, value) or "").encode()  # half a surrogate pair is no text that a database keeps
    return Principal(f"jwt:{claims['sub']}", tenant, scopes)


def _scopes(told: Any) -> Scopes:
    """`summarize` is no scope of ours, `operations:summarize` is; of a kind that is not told, everything."""
    words: Sequence[Any] = told.split() if isinstance(told, str) else told if isinstance(told, list) else ()
    found: dict[str, tuple[str, ...]] = {}
    for kind in _SCOPES:
        mine = [word.partition(":")[2] for word in words if isinstance(word, str) and word.startswith(f"{kind}:")]
        found[kind] = tuple(globs(kind, mine)) if mine else EVERY
    return Scopes(**found, admin="admin" in words)
