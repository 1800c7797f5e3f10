"""What every loop without a ledger does with a record: the same call as `summarize`, then a result and a usage event."""

import time
from dataclasses import dataclass
from typing import Any

import orjson
import uuid_utils

from agents.summarize import _schema
from prompts import Library
from providers import fake
from providers.calls import ChatCall, messages

USAGE_KEY = b"fake|fake:latest"
_SENTENCES = 3
_MAX_TOKENS = 330


@dataclass(frozen=True)
class Done:
    """What is to be published."""

    result: bytes
    usage: bytes


class Work:
    """The spine's own provider, client, prompt and schema. Whoever made it closes it."""

    def __init__(self, url: str, slots: int) -> None:
        self.library, self.model = Library.load(), fake.at_server(url, slots=slots)

    async def one(self, value: bytes) -> Done:
        """One record. Raises `ProviderError`."""
        request = orjson.loads(value)
        started = time.perf_counter()
        answer = await self.model.chat(self._call(request), self.model.nodes()[0])
        latency = round((time.perf_counter() - started) * 1000)
        used = {"input_tokens": answer.spent.input_tokens, "output_tokens": answer.spent.output_tokens}
        result = {
            "id": request["id"],
            "operation": "summarize",
            "status": "succeeded",
            "output": orjson.loads(answer.text),
            "usage": used,
            "latency_ms": latency,
        }
        usage = {"id": str(uuid_utils.uuid7()), "request_id": request["id"], **used, "latency_ms": latency}
        return Done(orjson.dumps(result), orjson.dumps(usage))

    def _call(self, request: dict[str, Any]) -> ChatCall:
        """What `summarize` asks for."""
        content = request["input"]["content"]
        prompt = self.library.render("summarize", content=content, max_sentences=_SENTENCES, style=None, focus=None)
        return ChatCall(
            model="fake:latest",
            messages=messages(prompt.system, [("user", prompt.user)]),
            timeout_s=60.0,
            schema=_schema(_SENTENCES),
            max_tokens=_MAX_TOKENS,
            tag=request["id"],
        )

    async def aclose(self) -> None:
        await self.model.aclose()
