"""Who asks: what the door knows of a caller once it has let them in, and what they may do.

Pure. `auth` puts a `Principal` into `request.state.principal`; `admitting` holds a request against it.
"""

from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from starlette.requests import Request

from schemas.errors import ErrorType
from schemas.request import LANE_NAMES
from schemas.routes import Pinned
from store.ledger.quotas import Most
from store.ledger.types.arrivals import Ask
from streams.web.problems import Problem

EVERY = ("*",)


@dataclass(frozen=True, slots=True)
class Scopes:
    """What a key is for, in globs such as `summ*` or `ollama/*`. `admin`: everything, every tenant, and the keys themselves."""

    operations: tuple[str, ...] = EVERY
    models: tuple[str, ...] = EVERY
    """`provider/model`."""
    lanes: tuple[str, ...] = EVERY
    admin: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one key, over all processes; None: no bound."""

    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None

    def minute(self) -> Most:
        """What one may see."""
        return Most(self.rpm, self.tpm)


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Principal:
    """`key_id` None: the operator's own key, or an open door. `tenant` None: any may be named."""

    key_id: str | None
    tenant: str | None
    scopes: Scopes = field(default_factory=Scopes)
    limits: Limits = NO_LIMITS

    def tenant_of(self, named: str | None, otherwise: str) -> str:
        """Whose tenant is meant: the one that is named, else their own. Raises `Problem` 403 for a foreign one."""
        found = named or self.tenant or otherwise
        if self.tenant is not None and found != self.tenant:
            raise Problem(
                403,
                f"This key is of the tenant {self.tenant!r} and may not act for {found[:100]!r}: leave the tenant out, "
                "or ask with a key of that tenant.",
                error=ErrorType.REFUSED,
            )
        return found

    def sees(self, tenant: str) -> bool:
        """Whether what belongs to that tenant exists for them."""
        return self.tenant is None or self.tenant == tenant

    def check(self, what: Ask) -> None:
        """Raises `Problem` 403: says which scope is missing."""
        self.tenant_of(what.tenant, what.tenant)
        self.check_operation(what.operation)
        self._scope("lane", LANE_NAMES[what.lane], self.scopes.lanes)
        if what.failure is None:  # of one that cannot be run the model may not be known
            self._check_models(what)

    def _check_models(self, what: Ask) -> None:
        """A route's name lets all of its targets in; else each of them must be among the models, as any may answer."""
        pinned = None if what.route is None else Pinned.model_validate_json(what.route)
        if pinned is not None and self.may("models", pinned.name):
            return
        for name in [
            f"{what.provider}/{what.model}",
            *(f"{n.provider}/{n.model}" for n in (pinned.left if pinned else ())),
        ]:
            self._scope("model", name, self.scopes.models)

    def check_operation(self, operation: str) -> None:
        """Raises `Problem` 403 unless it is among the operations of the key."""
        self._scope("operation", operation, self.scopes.operations)

    def check_admin(self) -> None:
        """Raises `Problem` 403 unless they may do everything."""
        if not self.scopes.admin:
            words = "This needs a key with the scope admin: make one with `genai-spine keys create --admin`."
            raise Problem(403, words, error=ErrorType.REFUSED, missing="admin")

    def check_all(self) -> None:
        """Raises `Problem` 403 when they are of one tenant."""
        if self.tenant is not None:
            words = f"This shows every tenant's things, and this key is of the tenant {self.tenant!r} alone."
            raise Problem(403, words, error=ErrorType.REFUSED, missing="every tenant")

    def may(self, kind: str, name: str) -> bool:
        """Whether a scope (operations, models or lanes) takes this name in."""
        return self.scopes.admin or any(fnmatchcase(name, glob) for glob in getattr(self.scopes, kind))

    def stamped(self, what: Ask) -> Ask:
        """The request, as brought by this key."""
        return replace(what, key_id=self.key_id, most_at_once=self.limits.concurrency)

    def _scope(self, kind: str, name: str, globs: tuple[str, ...]) -> None:
        if self.may(f"{kind}s", name):
            return
        words = f"This key is not for the {kind} {name!r}; it is for {', '.join(globs) or 'none'}."
        raise Problem(403, words, error=ErrorType.REFUSED, missing=f"{kind}s:{name}")


OPERATOR = Principal(None, None, Scopes(admin=True))
"""The key of GENAI_API_KEY, and everybody where the door is open."""


def own(request: Request, told: dict[str, str]) -> dict[str, str]:
    """What a list is asked for, narrowed to the caller's tenant. Raises `Problem` 403 where it names another one."""
    who = principal_of(request)
    return told if who.tenant is None else {**told, "tenant": who.tenant_of(told.get("tenant"), who.tenant)}


NOBODY = Principal(None, "", Scopes((), (), ()))
"""Who came past no check: may nothing."""


def principal_of(request: Request) -> Principal:
    """Who asks."""
    found: Principal = getattr(request.state, "principal", NOBODY)
    return found
