"""Which model a request gets: its name looked up, a route's targets weighed, what cannot be left out before anything is queued.

The draw is the record's own; only how targets are (`unwell`) may differ from one moment, and one process, to the next.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from providers import choosing, routes
from providers.base import Able, Moderating, Provider, able_of
from providers.calls import Kind
from providers.choosing import Decision, Look, Needs, Told, Who
from providers.marked import near
from providers.routes import Model, Route, Table
from schemas.errors import ErrorType
from schemas.request import Lane, Request
from schemas.routes import Next, Pinned

if TYPE_CHECKING:
    from agents.base import Operation


class Refusal(Exception):
    """The request cannot be run as it names its model; the message is for its producer."""

    def __init__(self, words: str, type_: ErrorType = ErrorType.INVALID_REQUEST, **details: Any) -> None:
        super().__init__(words)
        self.type, self.details = type_, details


@dataclass(frozen=True, slots=True)
class Choice:
    """The model that a request goes to. `route`: what its row keeps of the route; None: it named the model."""

    provider: Provider
    model: str
    route: str | None = None
    wait_s: float | None = None
    """How long it is waited for before the next one is asked; None: until it answers."""


def _healthy(model: Model, most: int | None) -> str:  # noqa: ARG001 - the shape of `Router.unwell`
    return ""


@dataclass
class Router:
    """`table` is replaced when its file changes; what was chosen before stays as it is.

    `unwell`: why a target is passed over now, given how many may wait for it; empty: it is well. `skipped`: told of each
    target that is.
    """

    providers: Mapping[str, Provider]
    default_provider: str
    default_model: str | None = None
    default_embed_model: str | None = None
    table: Table = field(default_factory=Table)
    unwell: Callable[[Model, int | None], str] = _healthy
    skipped: Callable[[str, Told], None] = lambda _route, _told: None
    moderation_model: str | None = None

    def choose(
        self,
        operation: "Operation",
        input_: Any,
        request: Request,
        *,
        tenant: str,
        id_: str,
        lane: Lane,
        key: bytes | None,
    ) -> Choice:
        """Raises `Refusal` when no model can do what is asked."""
        found = self.named(operation, request)
        if isinstance(found, Model):
            provider = self.providers[found.provider]
            self._check(operation, input_, request, provider, found)
            return Choice(provider, found.model)
        who = Who(operation.name, tenant, lane.name.lower(), id_, key, request.input, request.metadata)
        decision = self.decide(found, operation, input_, request, who)
        for told in decision.told:
            if told.skipped:
                self.skipped(found.name, told)
        if decision.taken is None:
            raise _none(found.name, decision)
        wait_s = decision.wait_s(decision.taken) if decision.left else None
        kept = self._kept(found, decision, patient=wait_s is not None)
        return Choice(self.providers[decision.taken.provider], decision.taken.model, kept, wait_s)

    def named(self, operation: "Operation", request: Request) -> Route | Model:
        """What the request's words stand for; without any, what the settings say."""
        options, name = request.options, request.options.provider
        of = self.providers.get(name or self.default_provider)
        if of is None:
            raise Refusal(self._unknown(name or self.default_provider))
        named = options.model
        if named is None:
            kind = operation.kind_with(of.traits)
            ours = self.default_embed_model if kind == "embed" else self.default_model
            if operation.moderates and name is None and self.moderation_model is not None:
                ours = self.moderation_model
            named = ours if name in {None, self.default_provider} else None
            if named is None and operation.moderates and isinstance(of, Moderating) and of.moderation_model:
                return Model(of.name, of.moderation_model)
            if named is None:
                return Model(of.name, of.default_model(kind))
        if name is not None:
            return Model(name, named)
        return routes.resolve(named, self.table, self.providers, self.default_provider)

    def is_known(self, request: Request) -> bool:
        """Whether there is the provider that it names."""
        return (request.options.provider or self.default_provider) in self.providers

    def kind_of(self, model: Model) -> Kind | None:
        """What it can only be asked for, as far as its provider says."""
        able = able_of(self.providers[model.provider], model.model)
        if able is None or (able.chat is False) == (able.embed is False):
            return None
        return "embed" if able.chat is False else "chat"

    def able(self, model: Model) -> Able | None:
        """What it can do; None: its provider does not say."""
        return able_of(self.providers[model.provider], model.model)

    def _unknown(self, name: str) -> str:
        meant = near(name, self.providers)
        known = f"did you mean {meant[0]!r}?" if meant else f"known are {', '.join(sorted(self.providers))}"
        return f"provider {name!r} is not known; {known}"

    def near(self, named: str) -> list[str]:
        """Routes, and providers' names before a slash, that somebody may have meant."""
        head, slash, rest = named.partition("/")
        providers = [f"{each}/{rest}" for each in near(head, self.providers)] if slash and rest else []
        return near(named, self.table.routes) + providers

    def _check(self, operation: "Operation", input_: Any, request: Request, provider: Provider, model: Model) -> None:
        able = able_of(provider, model.model)
        missing = choosing.cannot(_needs(operation, input_, request, provider), able)
        if missing == ("max_tokens",) and able is not None:
            most = choosing.longest(able)
            raise Refusal(
                f"`options.max_tokens`: is {request.options.max_tokens}; `{model.model}` holds at most {most} tokens"
            )
        if missing:
            named = ", ".join(f"`{name}`" for name in missing)
            words = f"`{model.model}` cannot do {named}. Leave it out, or name another model."
            raise Refusal(words, fields=list(missing), models=[str(model)])

    def decide(self, route: Route, operation: "Operation", input_: Any, request: Request, who: Who) -> Decision:
        """Nothing is called; `explain` asks the same."""
        length = operation.tokens(input_)

        def look(model: Model) -> Look:
            provider = self.providers[model.provider]
            able, needs = able_of(provider, model.model), _needs(operation, input_, request, provider)
            cannot = choosing.cannot(needs, able, on_cpu=provider.traits.on_cpu)
            room = self.context(model)
            short = ""
            if room is not None and length is not None and length > room:
                short = f"the request has about {length} tokens, and it holds {room}"
            return Look(cannot, self.unwell(model, route.max_waiting), short)

        looks: dict[Model, Look] = {}

        def seen(model: Model) -> Look:
            if model not in looks:
                looks[model] = look(model)
            return looks[model]

        return choosing.decide(choosing.order(self.table, route, who, lambda model: not seen(model).cannot), seen)

    def context(self, model: Model) -> int | None:
        """How many tokens a call of it holds; None: not known."""
        provider = self.providers[model.provider]
        able = able_of(provider, model.model)
        return (able.context_tokens if able is not None else None) or provider.traits.context_tokens

    def _kept(self, route: Route, decision: Decision, *, patient: bool) -> str:
        left = [
            Next(
                provider=model.provider,
                model=model.model,
                paid=self.providers[model.provider].traits.paid,
                context_tokens=self.context(model),
                wait_s=decision.wait_s(model),
            )
            for model in decision.left
        ]
        pinned = Pinned(
            name=route.name,
            arm=decision.arm,
            left=left,
            causes=list(route.causes),
            rate_limited_after_s=route.rate_limited_after_s,
            patient=patient,
            tier=route.tier,
            hedge=route.hedge,
            guards=list(routes.guards(self.table, route)),
        )
        return pinned.model_dump_json(exclude_defaults=True)


def _needs(operation: "Operation", input_: Any, request: Request, provider: Provider) -> Needs:
    kind = operation.kind_with(provider.traits)
    fields = () if kind != operation.kind else tuple(operation.wants(input_))
    options = request.options
    # whoever asked for a run is not there to mend an item: it is asked for as much as its model writes, with a warning
    most = None if request.run_id is not None else options.max_tokens
    return Needs(kind, fields, most, gpu=options.resource == "gpu", moderates=operation.moderates)


def _none(route: str, decision: Decision) -> Refusal:
    told = "; ".join(f"`{each.model}`: {each.why}" for each in decision.told) or "it has no targets for such a request"
    fields = list(dict.fromkeys(name for each in decision.told for name in each.cannot))
    words = f"the route `{route}` has no model that can do this: {told}. Leave it out, or name another model."
    return Refusal(words, fields=fields, models=[str(each.model) for each in decision.told])
