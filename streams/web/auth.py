"""Who may ask: whoever has a key; on loopback everybody, as long as nobody has made one.

The key of GENAI_API_KEY is the operator's, who may do everything; the others were made by `genai-spine keys`.
"""

import base64
import binascii
import hmac

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from schemas.errors import ErrorType
from streams import keys
from streams.addresses import is_loopback
from streams.errors import SpineError
from streams.settings import Settings
from streams.web.front import Front
from streams.web.limits import telling
from streams.web.principal import NO_LIMITS, NOBODY, OPERATOR, Principal
from streams.web.problems import Problem, unavailable
from streams.web.rules import Rule, Table


def check_host(host: str, setting: str, settings: Settings) -> None:
    """Refuses to listen to a network without a key. Raises SpineError."""
    if is_loopback(host) or settings.api_key is not None or settings.allow_insecure or settings.jwt_jwks:
        return
    raise SpineError(
        f"{setting}={host} is open to the network, and there is no key. Set GENAI_API_KEY to one that callers send, "
        "or GENAI_ALLOW_INSECURE=1 if something in front keeps strangers out."
    )


def check_operator(settings: Settings) -> None:
    """Refuses to take somebody's key for the operator's own. Raises SpineError."""
    if settings.api_key is not None and keys.is_one(settings.api_key.get_secret_value()):
        raise SpineError(
            "GENAI_API_KEY is a key that `genai-spine keys` has made, and whoever has the one of a process that serves may do "
            "everything. Set it to another random text there; callers send the one that was made for them."
        )


class Keyed:
    """ASGI middleware: lets in who may come to a route, and says to the handlers who it is."""

    def __init__(self, app: ASGIApp, front: Front, rules: dict[str, Rule]) -> None:
        self.app, self._front, self._rules = app, front, rules
        key = front.settings.api_key
        self._operator = keys.digest(key.get_secret_value().encode()) if key else None
        self._table: Table | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if self._table is None:
            self._table = Table(scope["app"].routes, self._rules)
        try:
            who = await self._let_in(scope, self._table.of(scope))
        except Problem as refusal:
            await refusal.response()(scope, receive, send)
            return
        scope.setdefault("state", {})["principal"] = who
        await self.app(scope, receive, send if who.limits == NO_LIMITS else telling(scope, send))

    async def _let_in(self, scope: Scope, rule: Rule) -> Principal:
        """Raises `Problem`: 401, 403, 503."""
        closed = self._operator is not None or self._front.tokens is not None
        if rule is Rule.FREE or (self._front.spine is None and not closed):
            return NOBODY  # before its parts are there a process has nothing to show, and the handlers say so
        who = await self._who(scope)
        if rule is Rule.ADMIN:
            who.check_admin()
        if rule is Rule.ALL:
            who.check_all()
        return who

    async def _who(self, scope: Scope) -> Principal:
        told, known, tokens = _given(scope), self._front.keys, self._front.tokens
        text = next(iter(told), "")
        if self._operator is None and tokens is None and known.empty:
            found = await known.find(text) if keys.is_one(text) else ""  # the first one may have been made a moment ago
            return OPERATOR if known.empty else _told(scope, found or _NO_KEY)
        if len(told) != 1:
            raise _refusal(scope, _TWO_KEYS if told else _NO_KEY)
        if self._operator is not None and hmac.compare_digest(keys.digest(text.encode("latin-1")), self._operator):
            return OPERATOR
        if tokens is not None and "." in text:  # no key has one
            return _told(scope, await tokens.find(text))
        if not known.loaded:
            raise unavailable("This process is starting and does not know the keys yet. Ask again in a moment.")
        return _told(scope, await known.find(text))


def _told(scope: Scope, found: Principal | str) -> Principal:
    """Raises `Problem` 401 with the sentence why nobody was found."""
    if isinstance(found, str):
        raise _refusal(scope, found)
    return found


_NO_KEY = "This needs a key"
_TWO_KEYS = "Two different keys were sent, in Authorization and X-API-Key or in one of them twice"


def _given(scope: Scope) -> set[str]:
    """The keys that were sent, each once."""
    headers = Headers(scope=scope)
    told = {_of_authorization(scope, value) for value in headers.getlist("authorization")}
    return {*told, *(value.strip() for value in headers.getlist("x-api-key"))} - {""}


def _of_authorization(scope: Scope, value: str) -> str:
    scheme, _, token = value.strip().partition(" ")
    if scheme.lower() == "basic":
        return _password(token) if scope["method"] in _READS else ""
    return token.strip() if scheme.lower() == "bearer" else ""


def _refusal(scope: Scope, why: str) -> Problem:
    words = f"{why}: send a key that works, as `Authorization: Bearer …` or `X-API-Key: …`."
    return Problem(401, words, error=ErrorType.REFUSED, headers={"WWW-Authenticate": _challenge(scope)})


_READS = ("GET", "HEAD")
"""A browser sends a password that it knows with every request, also one that another site's page makes: so only to look."""


def _challenge(scope: Scope) -> str:
    """A person who looks at a page is asked for the key by the browser: any name, the key as password."""
    looks = scope["method"] in _READS and "text/html" in Headers(scope=scope).get("accept", "")
    return 'Basic realm="GenAI Spine", charset="UTF-8"' if looks else "Bearer"


def _password(token: str) -> str:
    try:
        return base64.b64decode(token.strip(), validate=True).decode("latin-1").partition(":")[2]
    except (binascii.Error, ValueError):
        return ""
