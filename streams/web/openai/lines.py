"""Lines of a batch's file: what is wrong with them, and the items that they become. Pure."""

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any

import orjson

from streams.runs import parts
from streams.web.openai import chat, completions, embeddings
from streams.web.openai.fields import Asked, wrong
from streams.web.problems import Problem

ENDPOINTS: Mapping[str, str] = {
    "/v1/chat/completions": "complete",
    "/v1/completions": "complete",
    "/v1/embeddings": "embed",
}
"""What a batch can ask, and our operation for it."""
MOST_LINES = 50_000
MOST_ERRORS = 100
_MOST_ID = 512


class Checks:
    """Holds every line of a file against the batch. `errors` as OpenAI tells them, the first hundred."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint, self.count = endpoint, 0
        self.errors: list[dict[str, Any]] = []
        self._seen: set[bytes] = set()

    def see(self, number: int, line: bytes | None) -> None:
        """`line` None: it is too long."""
        self.count += 1
        found = self._wrong(line)
        if found is not None and len(self.errors) < MOST_ERRORS:
            code, param, words = found
            self.errors.append({"code": code, "line": number, "message": words, "param": param})

    def end(self) -> list[dict[str, Any]]:
        """All that is wrong; empty: it can run."""
        if self.count == 0:
            return [_whole("empty_file", "The file holds no line; write one request per line.")]
        if self.count > MOST_LINES:
            words = f"The file has {self.count} lines; a batch takes {MOST_LINES}. Make several of it."
            return [_whole("too_many_requests", words)]
        return self.errors

    def _wrong(self, line: bytes | None) -> tuple[str, str | None, str] | None:
        if line is None:
            return "line_too_long", None, "The line is longer than a request may be (GENAI_REQUEST_MAX_BYTES)."
        try:
            told = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            return "invalid_json_line", None, f"The line is not JSON: {error}."
        if not isinstance(told, dict):
            return "invalid_json_line", None, "The line is no JSON object."
        return self._wrong_id(told.get("custom_id")) or self._wrong_call(told)

    def _wrong_id(self, given: Any) -> tuple[str, str | None, str] | None:
        if not isinstance(given, str) or not 0 < len(given) <= _MOST_ID:
            return "invalid_custom_id", "custom_id", f"`custom_id` must be a text of 1 to {_MOST_ID} characters."
        mark = blake2b(given.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if mark in self._seen:
            return "duplicate_custom_id", "custom_id", f"The custom_id {given!r} stands on another line already."
        self._seen.add(mark)
        return None

    def _wrong_call(self, told: Mapping[str, Any]) -> tuple[str, str | None, str] | None:
        if told.get("method") != "POST":
            return "invalid_method", "method", "`method` must be POST."
        if told.get("url") != self.endpoint:
            return "mismatched_endpoint", "url", f"`url` must be {self.endpoint}, which the batch is for."
        return None if isinstance(told.get("body"), dict) else ("invalid_body", "body", "`body` must be an object.")


def _whole(code: str, words: str) -> dict[str, Any]:
    return {"code": code, "line": None, "message": words, "param": None}


def item(line: bytes, endpoint: str, deadline: str, check: Callable[[bytes], None]) -> bytes:
    """A line that `Checks` has let through, as an item. A body that is wrong is an item that fails with its words, and so is one
    that `check` raises a `Problem` for.
    """
    told = orjson.loads(line)
    meta: dict[str, Any] = {"custom_id": told["custom_id"]}
    try:
        asked, packed = _asked(told["body"], endpoint)
        options = {**asked.record["options"], "model": asked.model}
        more = {"encoding_format": "base64"} if packed else {}
        meta = {**asked.record.get("metadata", {}), **meta, **more}
        made = parts.line({**asked.record, "options": options, "metadata": meta, "deadline": deadline})
        check(made)
    except Problem as problem:
        return parts.broken(problem.detail, meta)
    return made


def _asked(body: Mapping[str, Any], endpoint: str) -> tuple[Asked, bool]:
    """Raises `Problem`."""
    if endpoint == "/v1/embeddings":
        return embeddings.read(body)
    if endpoint == "/v1/completions":
        several = completions.read(body)
        if len(several) > 1:
            raise wrong("prompt", "`prompt` has several texts; in a batch each stands on a line of its own.")
        asked = several[0]
    else:
        asked = chat.read(body)
    if asked.stream:
        raise wrong("stream", "`stream` does not go with a batch; leave it out.")
    return asked, False
