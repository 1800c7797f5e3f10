# Made by `python -m scripts.client` from _async/client.py; change it there.
"""The client: operations on itself; `prompts`, `runs` and `requests` beside them."""

import json
import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from typing import Any, Self

import httpx
from pydantic import BaseModel

from genai_spine_client import answers, calls, errors, sse
from genai_spine_client._sync.operations import Operations
from genai_spine_client._sync.prompts import Prompts
from genai_spine_client._sync.requests import Requests
from genai_spine_client._sync.runs import Runs
from genai_spine_client._sync.transport import Transport
from genai_spine_client.retries import Again, Retries
from genai_spine_client.schemas import answers as told
from genai_spine_client.schemas import books

URL, KEY = "GENAI_SPINE_URL", "GENAI_SPINE_API_KEY"


class GenAIClient(Operations):
    """`base_url` and `api_key`, if not said, are those of `GENAI_SPINE_URL` and `GENAI_SPINE_API_KEY`.

    `timeout`: seconds from the first try of a call to its answer; None: no bound. Close it, or use it as a context.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        api_key: str | None = None,
        timeout: float | None = 600.0,
        retries: Retries | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        url = base_url or os.environ.get(URL) or "http://127.0.0.1:8100"
        key = api_key or os.environ.get(KEY)
        super().__init__(Transport(url, key, timeout, retries or Retries(), transport))
        self.prompts, self.runs = Prompts(self._transport), Runs(self._transport)
        self.requests = Requests(self._transport)

    def usage(self, *, by: str | None = None, since: str | None = None, until: str | None = None) -> books.Usage:
        """Every call that ended: `by` some of day, provider, model, tenant, operation, run; UTC days, both included."""
        return self._transport.call(calls.usage(by=by, **{"from": since, "to": until}))

    def costs(self, *, by: str | None = None, since: str | None = None, until: str | None = None) -> books.Costs:
        """The days' costs, exact decimal strings; by groups where `by` says so."""
        return self._transport.call(calls.costs(by=by, **{"from": since, "to": until}))

    def models(self) -> told.ModelList:
        """What can be called now, and which provider does not answer."""
        return self._transport.call(calls.models())

    def stream_chat(
        self, messages: Sequence[Mapping[str, Any] | BaseModel], *, model: str, **wishes: Any
    ) -> Generator[told.ChatChunk, None, None]:
        """A chat while it is made, in OpenAI's chunks; `wishes` are the fields that `/v1/chat/completions` takes. Whoever stops
        reading stops the call. Raises `BrokenOff` where it ends early.
        """
        body = calls.given({"messages": list(messages), "model": model, "stream": True, **wishes})
        call = calls.Call(
            "POST", "/v1/chat/completions", answers.Reader(told.ChatChunk), body=body, again=Again.UNTAKEN
        )
        reader = sse.Reader()
        with closing(self._transport.lines(call)) as lines:
            for line in lines:
                for event in reader.line(line):
                    if event.data == "[DONE]":
                        return
                    yield _chunk(event.data)
        raise errors.BrokenOff("The stream ended without its end; what came before may be half an answer.")

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _chunk(data: str) -> told.ChatChunk:
    found = json.loads(data)
    error = found.get("error") if isinstance(found, dict) else None
    if isinstance(error, dict):
        raise errors.BrokenOff(str(error.get("message")), str(error.get("code") or error.get("type")))
    return answers.line(data, told.ChatChunk)
