"""The registry of prompts."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

from genai_spine_client import calls
from genai_spine_client._async.transport import AsyncTransport
from genai_spine_client.schemas import registry

M = TypeVar("M", bound=BaseModel)


class AsyncPrompts:
    """Prompts by slug or id. `tenant`: whose; `who`: whom the history names, where the key does not say."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def list(
        self,
        *,
        q: str | None = None,
        category: str | None = None,
        tag: str | None = None,
        archived: bool = False,
        tenant: str | None = None,
        limit: int = 50,
    ) -> AsyncGenerator[registry.PromptItem, None]:
        """All that fit, lately changed first; pages are asked for as they are needed."""
        query = {"q": q, "category": category, "tag": tag, "tenant": tenant, "limit": limit}
        query |= {"archived": "true" if archived else None}
        cursor: str | None = None
        while True:
            page = await self._do("GET", None, "", registry.PromptPage, query=query | {"cursor": cursor})
            for item in page.items:
                yield item
            cursor = page.next
            if cursor is None:
                return

    async def get(self, prompt: str, *, tenant: str | None = None) -> registry.Prompt:
        """With its newest version, its labels, and the `revision` that `edit` takes."""
        return await self._do("GET", prompt, "", registry.Prompt, query={"tenant": tenant})

    async def create(
        self, slug: str, template: str, *, tenant: str | None = None, who: str | None = None, **fields: Any
    ) -> registry.Prompt:
        """A prompt and its version 1; `fields` are those of `schemas.prompts.NewPrompt`."""
        body = {"slug": slug, "template": template, **fields}
        return await self._do("POST", None, "", registry.Prompt, query={"tenant": tenant}, body=body, who=who)

    async def edit(
        self,
        prompt: str,
        *,
        revision: int | None = None,
        tenant: str | None = None,
        who: str | None = None,
        **changes: Any,
    ) -> registry.Prompt:
        """A change of what it says is a new version. With `revision` of what was read: raises `Stale` where somebody else was faster."""
        return await self._do(
            "PUT", prompt, "", registry.Prompt, query={"tenant": tenant}, body=changes, revision=revision, who=who
        )

    async def archive(self, prompt: str, *, tenant: str | None = None, who: str | None = None) -> registry.Prompt:
        """Put away; what was accepted with it runs all the same."""
        return await self._do("DELETE", prompt, "", registry.Prompt, query={"tenant": tenant}, who=who)

    async def restore(self, prompt: str, *, tenant: str | None = None, who: str | None = None) -> registry.Prompt:
        """Out of the archive."""
        return await self._do("POST", prompt, "/restore", registry.Prompt, query={"tenant": tenant}, who=who)

    async def versions(self, prompt: str, *, tenant: str | None = None) -> registry.VersionList:
        """All of them, newest first."""
        return await self._do("GET", prompt, "/versions", registry.VersionList, query={"tenant": tenant})

    async def version(self, prompt: str, number: int, *, tenant: str | None = None) -> registry.PromptVersion:
        """One, as it was written."""
        return await self._do("GET", prompt, f"/versions/{number}", registry.PromptVersion, query={"tenant": tenant})

    async def diff(self, prompt: str, before: int, after: int, *, tenant: str | None = None) -> registry.Difference:
        """What differs between two versions."""
        query = {"from": before, "to": after, "tenant": tenant}
        return await self._do("GET", prompt, "/diff", registry.Difference, query=query)

    async def labels(self, prompt: str, *, at: str | None = None, tenant: str | None = None) -> registry.Labels:
        """What each stands for, now or at a day or a moment, and every move."""
        return await self._do("GET", prompt, "/labels", registry.Labels, query={"at": at, "tenant": tenant})

    async def move(
        self,
        prompt: str,
        label: str,
        version: int | None = None,
        *,
        why: str,
        weights: Mapping[int, int] | None = None,
        tenant: str | None = None,
        who: str | None = None,
    ) -> registry.Prompt:
        """Let a label stand for a version, or for several by weight."""
        body: dict[str, Any] = {"label": label, "version": version, "why": why}
        body |= {"weights": None if weights is None else {str(number): share for number, share in weights.items()}}
        return await self._do("POST", prompt, "/labels", registry.Prompt, query={"tenant": tenant}, body=body, who=who)

    async def unlabel(
        self, prompt: str, label: str, *, tenant: str | None = None, who: str | None = None
    ) -> registry.Prompt:
        """Take a label away."""
        return await self._do("DELETE", prompt, f"/labels/{label}", registry.Prompt, query={"tenant": tenant}, who=who)

    async def rollback(
        self,
        prompt: str,
        *,
        why: str,
        label: str = "production",
        tenant: str | None = None,
        who: str | None = None,
    ) -> registry.Prompt:
        """To what the label stood for before its last move."""
        body = {"label": label, "why": why}
        return await self._do(
            "POST", prompt, "/rollback", registry.Prompt, query={"tenant": tenant}, body=body, who=who
        )

    async def render(
        self,
        prompt: str,
        variables: Mapping[str, Any] | None = None,
        *,
        version: int | None = None,
        label: str | None = None,
        tenant: str | None = None,
    ) -> registry.Rendered:
        """What a model would be sent; nothing is called."""
        body = {"variables": dict(variables or {}), "version": version, "label": label}
        return await self._do("POST", prompt, "/render", registry.Rendered, query={"tenant": tenant}, body=body)

    async def executions(
        self, prompt: str, *, since: str | None = None, tenant: str | None = None
    ) -> registry.Executions:
        """What its versions did: calls, failures, cost, latency; the last 30 days if not said."""
        return await self._do(
            "GET", prompt, "/executions", registry.Executions, query={"from": since, "tenant": tenant}
        )

    async def arms(
        self,
        prompt: str,
        label: str,
        *,
        since: str | None = None,
        until: str | None = None,
        tenant: str | None = None,
    ) -> registry.Arms:
        """What each version did for which the label chose it, with intervals, and what differs by more than chance."""
        query = {"from": since, "to": until, "tenant": tenant}
        return await self._do("GET", prompt, f"/labels/{label}/arms", registry.Arms, query=query)

    async def _do(self, method: str, name: str | None, below: str, model: type[M], **how: Any) -> M:
        return await self._transport.call(calls.prompt(method, name, below, model, **how))
