# Made by `python -m scripts.client` from _async/requests.py; change it there.
"""Requests that were sent, by whomever."""

from collections.abc import Generator
from contextlib import closing
from typing import Any

from genai_spine_client import calls
from genai_spine_client._sync.transport import Transport
from genai_spine_client.answers import result_or_standing
from genai_spine_client.schemas import answers as told
from genai_spine_client.schemas.result import Result
from genai_spine_client.sse import Event


class Requests:
    """By id; `tenant` and `operation` where an id alone stands for several."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def get(
        self, request_id: str, *, tenant: str | None = None, operation: str | None = None
    ) -> Result | told.Standing:
        """Its result, whatever that says, or where it stands."""
        return self._transport.call(calls.one_request(request_id, tenant, operation))

    def list(self, *, limit: int = 50, **filters: Any) -> Generator[told.RequestItem, None, None]:
        """Newest first, by `state`, `operation`, `tenant`, `lane`, `run_id`; pages are asked for as they are needed."""
        cursor: str | None = None
        while True:
            page = self._transport.call(calls.requests(limit=limit, cursor=cursor, **filters))
            for item in page.items:
                yield item
            cursor = page.next
            if cursor is None:
                return

    def cancel(self, request_id: str, *, tenant: str | None = None, operation: str | None = None) -> told.Cancelled:
        """What waits is not called, what is called is aborted. Raises `Conflict` where it has ended."""
        return self._transport.call(calls.cancel_request(request_id, tenant, operation))

    def events(
        self, request_id: str, *, tenant: str | None = None, operation: str | None = None
    ) -> Generator[Event, None, None]:
        """`state`, `queue`, `progress`, and `result` at the end; a stream that breaks off is gone on with."""
        query = calls.given({"tenant": tenant, "operation": operation})
        call = calls.Call("GET", f"/v1/requests/{calls.quoted(request_id)}/events", result_or_standing, query)
        with closing(self._transport.events(call, "result")) as events:
            for event in events:
                yield event
