"""Work by its kind and name: what spine-core's dispatcher is called for, done by runs."""

from collections.abc import Mapping
from typing import Any, Self

from genai_spine_client._async.client import AsyncGenAIClient
from genai_spine_client._async.runs import RunLane
from genai_spine_client.calls import Priority
from genai_spine_client.schemas.runs import Run


class Dispatcher:
    """Over a client of yours, or one of its own for an address. What it submits answers with a run's id."""

    def __init__(self, client: AsyncGenAIClient | str | None = None, *, tenant: str | None = None) -> None:
        self._own = not isinstance(client, AsyncGenAIClient)
        self._client = client if isinstance(client, AsyncGenAIClient) else AsyncGenAIClient(client)
        self._tenant = tenant

    async def submit_task(
        self,
        name: str,
        params: Mapping[str, Any] | None = None,
        *,
        priority: Priority | None = None,
        lane: RunLane | None = None,
        idempotency_key: str | None = None,
        **more: Any,
    ) -> str:
        """One piece of work; `more` as `runs.submit` takes it."""
        made = {"priority": priority, "lane": lane, "idempotency_key": idempotency_key, "tenant": self._tenant, **more}
        return (await self._client.runs.submit("task", name, params, **made)).run_id

    async def submit_workflow(
        self,
        name: str,
        params: Mapping[str, Any] | None = None,
        *,
        priority: Priority | None = None,
        lane: RunLane | None = None,
        idempotency_key: str | None = None,
        **more: Any,
    ) -> str:
        """Many items of one kind."""
        made = {"priority": priority, "lane": lane, "idempotency_key": idempotency_key, "tenant": self._tenant, **more}
        return (await self._client.runs.submit("workflow", name, params, **made)).run_id

    async def submit_pipeline(
        self,
        name: str,
        params: Mapping[str, Any] | None = None,
        *,
        priority: Priority | None = None,
        lane: RunLane | None = None,
        idempotency_key: str | None = None,
        **more: Any,
    ) -> str:
        """Steps one after another."""
        made = {"priority": priority, "lane": lane, "idempotency_key": idempotency_key, "tenant": self._tenant, **more}
        return (await self._client.runs.submit("pipeline", name, params, **made)).run_id

    async def get_run(self, run_id: str) -> Run:
        """How it stands; `result` once it has ended."""
        return await self._client.runs.get(run_id, tenant=self._tenant)

    async def wait(self, run_id: str, *, timeout: float | None = None) -> Run:
        """Its end, whatever it is. Raises `TimedOut`; the run goes on."""
        return await self._client.runs.wait(run_id, timeout=timeout, tenant=self._tenant)

    async def cancel(self, run_id: str) -> None:
        """What waits is not called, what is called is aborted."""
        await self._client.runs.cancel(run_id, tenant=self._tenant)

    async def close(self) -> None:
        """Close the client, where it is its own."""
        if self._own:
            await self._client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
