"""Who may come to which route: one table over all of them. A route that stands in no line is for the operator alone."""

from collections.abc import Sequence
from enum import Enum
from typing import Any

from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope


class Rule(Enum):
    """What a caller needs."""

    FREE = "free"
    """No key: probes have none, and nothing of a user is there."""
    OWN = "own"
    """Any key; the handler shows and changes only what is of the key's tenant."""
    ALL = "all"
    """A key of no tenant: every tenant's things are there together."""
    ADMIN = "admin"


RULES: dict[str, Rule] = {
    "/health": Rule.FREE,
    "/ready": Rule.FREE,
    "/docs": Rule.FREE,
    "/openapi.json": Rule.FREE,
    "/assets/page.css": Rule.FREE,
    "/assets/page.js": Rule.FREE,
    "/": Rule.ALL,
    "/metrics": Rule.ALL,
    "/v1/usage": Rule.OWN,
    "/v1/costs": Rule.OWN,
    "/v1/costs/corrections": Rule.OWN,
    "/v1/models": Rule.OWN,
    "/v1/models/{model:path}": Rule.OWN,
    "/v1/requests": Rule.OWN,
    "/v1/queue": Rule.OWN,
    "/v1/requests/{request_id:path}/queue": Rule.OWN,
    "/v1/requests/{request_id:path}/events": Rule.OWN,
    "/v1/requests/{request_id:path}/cancel": Rule.OWN,
    "/v1/requests/{request_id:path}/retry": Rule.OWN,
    "/v1/requests/{request_id:path}/drop": Rule.OWN,
    "/v1/requests/{request_id:path}": Rule.OWN,
    "/v1/routes": Rule.OWN,
    "/v1/routes/explain": Rule.OWN,
    "/v1/chat/completions": Rule.OWN,
    "/v1/completions": Rule.OWN,
    "/v1/embeddings": Rule.OWN,
    "/v1/moderations": Rule.OWN,
    "/v1/files": Rule.OWN,
    "/v1/files/{file_id}": Rule.OWN,
    "/v1/files/{file_id}/content": Rule.OWN,
    "/v1/batches": Rule.OWN,
    "/v1/batches/{batch_id}": Rule.OWN,
    "/v1/batches/{batch_id}/cancel": Rule.OWN,
    "/v1/responses": Rule.OWN,
    "/v1/responses/{response_id}": Rule.OWN,
    "/v1/responses/{response_id}/cancel": Rule.OWN,
    "/v1/responses/{response_id}/input_items": Rule.OWN,
    "/v1/messages": Rule.OWN,
    "/v1/messages/count_tokens": Rule.OWN,
    **{f"/v1/schedules{rest}": Rule.ADMIN for rest in ("", "/{schedule}")},
    **{f"/v1/schedules/{{schedule}}/{order}": Rule.ADMIN for order in ("pause", "resume", "run")},
    "/v1/budgets": Rule.ADMIN,
    "/v1/budgets/{budget}": Rule.ADMIN,
    "/v1/keys": Rule.ADMIN,
    "/v1/keys/{key_id}": Rule.ADMIN,
    "/v1/keys/{key_id}/rotate": Rule.ADMIN,
    "/v1/keys/{key_id}/revoke": Rule.ADMIN,
    **{
        f"{root}/runs{rest}": Rule.OWN
        for root in ("", "/v1")
        for rest in (
            "",
            "/{run_id}",
            "/{run_id}/items",
            "/{run_id}/results",
            "/{run_id}/events",
            "/{run_id:path}/cancel",
            "/{run_id}/retry",
        )
    },
    "/v1/prompts": Rule.OWN,
    "/v1/prompts/{prompt}": Rule.OWN,
    **{
        f"/v1/prompts/{{prompt}}/{rest}": Rule.OWN
        for rest in (
            "versions",
            "versions/{version}",
            "diff",
            "labels",
            "labels/{label}",
            "labels/{label}/arms",
            "rollback",
            "render",
            "restore",
            "executions",
        )
    },
    "/v1/pipelines": Rule.OWN,
    "/v1/pipelines/{pipeline}": Rule.OWN,
    "/execute-prompt": Rule.OWN,
    "/v1/{operation}": Rule.OWN,
}
"""By the route's path as it is written in `app`; the operations' own paths are added by `for_operations`."""


def for_operations(names: Sequence[str]) -> dict[str, Rule]:
    """The rules of `/v1/<operation>`, both ways of writing it."""
    return {f"/v1/{path}": Rule.OWN for name in names for path in (name, name.replace("_", "-"))}


class Table:
    """Which rule holds for a request; built from the routes themselves, so that the two cannot differ."""

    def __init__(self, routes: Sequence[BaseRoute], rules: dict[str, Rule]) -> None:
        self._routes, self._rules = routes, rules
        plain = [route.path for route in routes if isinstance(route, Route) and "{" not in route.path]
        self._plain = {path: rules.get(path, Rule.ADMIN) for path in plain}

    def of(self, scope: Scope) -> Rule:
        """What is at no route, or at none for that method, is told so to whoever has a key."""
        found = self._plain.get(scope["path"])
        if found is not None:
            return found
        for route in self._routes:
            if route.matches(scope)[0] is Match.FULL:
                return self._rules.get(_path(route), Rule.ADMIN)
        return Rule.OWN


def _path(route: Any) -> str:
    return str(getattr(route, "path", ""))
