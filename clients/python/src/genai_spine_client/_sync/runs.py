# Made by `python -m scripts.client` from _async/runs.py; change it there.
"""Runs: work that is asked for as one."""

import json
import time
from collections.abc import Generator, Iterable, Mapping
from contextlib import closing
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from genai_spine_client import answers, calls, errors
from genai_spine_client._sync.transport import Transport
from genai_spine_client.calls import Priority
from genai_spine_client.schemas import answers as told
from genai_spine_client.schemas.runs import ENDED, Kind, Run, Webhook
from genai_spine_client.uploads import Item, Source, chunks

_BREATH_S = 0.05
"""Between two looks: a server that is about to end waits for nobody."""
RunLane = Literal["realtime", "normal", "batch", "gpu", "any"]


class Runs:
    """Submit, follow, collect."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def submit(
        self,
        kind: Kind,
        name: str,
        params: Mapping[str, Any] | None = None,
        *,
        priority: Priority | None = None,
        lane: RunLane | None = None,
        options: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        deadline: datetime | str | None = None,
        budget_usd: Decimal | str | None = None,
        webhook: Webhook | Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        tenant: str | None = None,
        id: str | None = None,  # noqa: A002
    ) -> Run:
        """Answers at once. The same `idempotency_key` gives the same run; without one, every call is a new one."""
        body = {
            "kind": kind,
            "name": name,
            "params": dict(params or {}),
            "priority": priority,
            "lane": lane,
            "options": options,
            "idempotency_key": idempotency_key,
            "deadline": deadline,
            "budget_usd": None if budget_usd is None else str(budget_usd),
            "webhook": webhook,
            "metadata": metadata,
            "tenant": tenant,
            "id": id,
        }
        return self._transport.call(calls.new_run(body, 0.0))

    def upload(
        self,
        name: str,
        source: Source | Iterable[Item],
        *,
        params: Mapping[str, Any] | None = None,
        priority: Priority | None = None,
        lane: RunLane | None = None,
        idempotency_key: str | None = None,
        tenant: str | None = None,
        id: str | None = None,  # noqa: A002
        model: str | None = None,
        provider: str | None = None,
        budget_usd: Decimal | str | None = None,
    ) -> Run:
        """A workflow whose items come from a file of JSON Lines or one by one; never held in memory. It is sent once: the server
        cancels a run whose upload broke off. `params`: input fields and options of every item, as far as it does not say them itself.
        """
        query = {"name": name, "kind": "workflow", "priority": priority, "lane": lane, "tenant": tenant, "id": id}
        query |= {"idempotency_key": idempotency_key, "model": model, "provider": provider}
        query |= {"budget_usd": None if budget_usd is None else str(budget_usd)}
        query |= {"params": None if params is None else json.dumps(params)}
        call = calls.Call("POST", "/v1/runs", answers.Reader(Run), calls.given(query))
        return self._transport.send(call, chunks(source))

    def get(self, run_id: str, *, tenant: str | None = None) -> Run:
        """How it stands; `result` once it has ended, up to 1,000 items."""
        return self._transport.call(calls.one_run(run_id, tenant))

    def wait(self, run_id: str, *, timeout: float | None = None, tenant: str | None = None) -> Run:
        """Its end, whatever it is. Raises `TimedOut`; the run goes on."""
        until = self._transport.until({} if timeout is None else {"timeout": timeout})
        while True:
            wait_s = max(0.0, min(calls.LONGEST_WAIT_S, until - time.monotonic()))
            found = self._transport.call(calls.one_run(run_id, tenant, wait_s), until)
            if found.status in ENDED:
                return found
            if time.monotonic() >= until:
                words = f"The run {run_id} is {found.status} still ({found.progress.done} of {found.progress.total}); it goes on."
                raise errors.TimedOut(words, run_id=run_id)
            time.sleep(_BREATH_S)

    def list(
        self, *, status: str | None = None, name: str | None = None, tenant: str | None = None, limit: int = 50
    ) -> Generator[Run, None, None]:
        """Newest first, without their results; pages are asked for as they are needed."""
        cursor: str | None = None
        while True:
            page = self._transport.call(calls.runs(status=status, name=name, tenant=tenant, limit=limit, cursor=cursor))
            for run in page.items:
                yield run
            cursor = page.next
            if cursor is None:
                return

    def iter_items(
        self, run_id: str, *, status: str | None = None, tenant: str | None = None, limit: int = 200
    ) -> Generator[told.Item, None, None]:
        """Each item in the order of the input, finished or not; pages are asked for as they are needed."""
        cursor: str | None = None
        while True:
            page = self._transport.call(calls.items(run_id, status=status, tenant=tenant, limit=limit, cursor=cursor))
            for item in page.items:
                yield item
            cursor = page.next
            if cursor is None:
                return

    def results(self, run_id: str, *, tenant: str | None = None) -> Generator[told.Item, None, None]:
        """All items in one stream, in the order of the input."""
        call = calls.Call(
            "GET",
            f"/v1/runs/{calls.quoted(run_id)}/results",
            answers.Reader(told.Item),
            calls.given({"tenant": tenant}),
        )
        with closing(self._transport.lines(call)) as lines:
            for line in lines:
                if line:
                    yield answers.line(line, told.Item)

    def events(self, run_id: str, *, tenant: str | None = None) -> Generator[Run, None, None]:
        """How it stands whenever that changes, until it has ended."""
        call = calls.Call(
            "GET", f"/v1/runs/{calls.quoted(run_id)}/events", answers.Reader(Run), calls.given({"tenant": tenant})
        )
        with closing(self._transport.events(call, "end")) as events:
            for event in events:
                yield answers.line(event.data, Run)

    def cancel(self, run_id: str, *, tenant: str | None = None) -> told.RunCancelled:
        """What waits is not called, what is called is aborted. Raises `Conflict` where it has ended."""
        return self._transport.call(calls.cancel_run(run_id, tenant))

    def retry(
        self, run_id: str, *, budget_usd: Decimal | str | None = None, tenant: str | None = None
    ) -> told.RunRetried:
        """Run again what did not succeed, and only that. `budget_usd`: what all of the run may cost, with what it has cost."""
        return self._transport.call(calls.retry_run(run_id, tenant, budget_usd))
