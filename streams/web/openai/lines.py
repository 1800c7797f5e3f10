"""Lines of a batch's file: what is wrong with them, and the items that they become. Pure."""

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any

from streams.runs import parts
from streams.runs.parts import BadLine
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
_NO_BODY = ": `body` must be an object"


class Checks:
    """Holds the lines of a file against the batch, one after the other."""

    def __init__(self, endpoint: str, most: int) -> None:
        self.endpoint, self.most = endpoint, most
        self.count = self.good = 0
        self.errors: list[dict[str, Any]] = []
        self._seen: set[bytes] = set()

    def read(self, number: int, line: bytes | None) -> dict[str, Any]:
        """What stands on it. `line` None: it is too long. Raises `BadLine`."""
        self.count += 1
        try:
            told = self._told(line)
        except BadLine as flaw:
            if len(self.errors) < MOST_ERRORS:
                self.errors.append(
                    {"code": flaw.code, "line": number, "message": words_of(number, flaw), "param": flaw.param}
                )
            raise
        self.good += 1
        return told

    def end(self) -> list[dict[str, Any]]:
        """Why nothing of it can run, as OpenAI tells it, the first hundred; empty: what is good of it runs."""
        if self.count == 0:
            return [_whole("empty_file", "The file holds no line; write one request per line.")]
        if self.count > MOST_LINES:
            words = f"The file has {self.count} lines; a batch takes {MOST_LINES}. Make several of it."
            return [_whole("too_many_requests", words)]
        return [] if self.good else self.errors

    def _told(self, line: bytes | None) -> dict[str, Any]:
        told = parts.told(line, self.most)
        if not isinstance(told, dict):
            raise BadLine("invalid_json_line", " is no JSON object")
        if (flaw := self._wrong_id(told) or self._wrong_call(told)) is not None:
            raise flaw
        return told

    def _wrong_id(self, told: Mapping[str, Any]) -> BadLine | None:
        if (given := id_of(told)) is None:
            words = f": `custom_id` must be a text of 1 to {_MOST_ID} characters"
            return BadLine("invalid_custom_id", words, told, "custom_id")
        mark = blake2b(given.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if mark in self._seen:
            words = f": the custom_id {given!r} stands on another line already"
            return BadLine("duplicate_custom_id", words, told, "custom_id")
        self._seen.add(mark)
        return None

    def _wrong_call(self, told: Mapping[str, Any]) -> BadLine | None:
        if told.get("method") != "POST":
            return BadLine("invalid_method", ": `method` must be POST", told, "method")
        if told.get("url") != self.endpoint:
            words = f": `url` must be {self.endpoint}, which the batch is for"
            return BadLine("mismatched_endpoint", words, told, "url")
        return None if isinstance(told.get("body"), dict) else BadLine("invalid_body", _NO_BODY, told, "body")


def words_of(number: int, flaw: BadLine) -> str:
    """A sentence."""
    return f"Line {number}{flaw}."


def id_of(told: Any) -> str | None:
    """A line's `custom_id`; None: it has none that could be one."""
    given = told.get("custom_id") if isinstance(told, dict) else None
    return given if isinstance(given, str) and 0 < len(given) <= _MOST_ID else None


def _whole(code: str, words: str) -> dict[str, Any]:
    return {"code": code, "line": None, "message": words, "param": None}


def item(checks: Checks, number: int, line: bytes | None, deadline: str, check: Callable[[bytes], None]) -> bytes:
    """A line as an item. One that is no request, or whose body is wrong, is an item that fails with its words, and so is one that
    `check` raises a `Problem` for.
    """
    try:
        told = checks.read(number, line)
    except BadLine as flaw:
        details = {"line": number, "code": flaw.code}
        return parts.broken(words_of(number, flaw), {"custom_id": id_of(flaw.told)}, details)
    meta: dict[str, Any] = {"custom_id": told["custom_id"]}
    try:
        asked, packed = _asked(told["body"], checks.endpoint)
        options = {**asked.record["options"], "model": asked.model}
        more = {"encoding_format": "base64"} if packed else {}
        meta = {**asked.record.get("metadata", {}), **meta, **more}
        made = parts.line({**asked.record, "options": options, "metadata": meta, "deadline": deadline})
        check(made)
    except Problem as problem:
        return parts.broken(f"Line {number}: {problem.detail}", meta)
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
