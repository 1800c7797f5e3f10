# Made by `python -m scripts.client` from _async/operations.py; change it there.
"""The operations: one method each, with the fields of its input by name."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, Unpack

from pydantic import BaseModel

from genai_spine_client import answers, calls, errors
from genai_spine_client._sync.transport import Transport
from genai_spine_client.answers import Answer
from genai_spine_client.calls import Asking
from genai_spine_client.schemas import (
    classify,
    compare,
    complete,
    embed,
    execute_prompt,
    extract,
    moderate,
    rewrite,
    summarize,
)
from genai_spine_client.schemas.answers import Standing
from genai_spine_client.schemas.result import Result

O = TypeVar("O", bound=BaseModel)  # noqa: E741 - an output
_FIRST_LOOK_S, _LONGEST_LOOK_S = 0.05, 1.0


class Operations:
    """Each call is one piece of work however often it is sent. What is None is left to the server. Raises `GenAIError`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def summarize(
        self,
        content: str,
        *,
        max_sentences: int | None = None,
        style: str | None = None,
        focus: str | None = None,
        **asking: Unpack[Asking],
    ) -> Answer[summarize.Output]:
        """A text in a few sentences."""
        fields = {"content": content, "max_sentences": max_sentences, "style": style, "focus": focus}
        return self._typed("summarize", fields, asking, summarize.Output)

    def extract(
        self,
        content: str,
        *,
        entity_types: Sequence[str] | None = None,
        schema: Mapping[str, Any] | None = None,
        key_points: bool | None = None,
        **asking: Unpack[Asking],
    ) -> Answer[extract.Output]:
        """What a text names, or the data that a JSON Schema asks for."""
        fields = {"content": content, "entity_types": entity_types, "schema": schema, "key_points": key_points}
        return self._typed("extract", fields, asking, extract.Output)

    def classify(
        self,
        content: str,
        categories: Sequence[str] | Mapping[str, str],
        *,
        multi_label: bool | None = None,
        **asking: Unpack[Asking],
    ) -> Answer[classify.Output]:
        """Which of the categories a text belongs to; names, or names with what they mean."""
        fields = {"content": content, "categories": categories, "multi_label": multi_label}
        return self._typed("classify", fields, asking, classify.Output)

    def compare(
        self, items: Sequence[str], *, aspects: Sequence[str] | None = None, **asking: Unpack[Asking]
    ) -> Answer[compare.Output]:
        """What texts share and where they differ."""
        return self._typed("compare", {"items": items, "aspects": aspects}, asking, compare.Output)

    def rewrite(
        self,
        content: str,
        *,
        instructions: str | None = None,
        tone: str | None = None,
        max_words: int | None = None,
        **asking: Unpack[Asking],
    ) -> Answer[rewrite.Output]:
        """A text in other words."""
        fields = {"content": content, "instructions": instructions, "tone": tone, "max_words": max_words}
        return self._typed("rewrite", fields, asking, rewrite.Output)

    def complete(
        self,
        prompt: str | None = None,
        *,
        messages: Sequence[Mapping[str, Any] | BaseModel] | None = None,
        output_schema: Mapping[str, Any] | None = None,
        json_object: bool | None = None,
        repair: bool | None = None,
        whole: bool | None = None,
        truncate: bool | None = None,
        tools: Sequence[Mapping[str, Any] | BaseModel] | None = None,
        tool_choice: str | Mapping[str, Any] | BaseModel | None = None,
        parallel_tool_calls: bool | None = None,
        n: int | None = None,
        stop: Sequence[str] | None = None,
        seed: int | None = None,
        logprobs: int | None = None,
        params: Mapping[str, Any] | BaseModel | None = None,
        **asking: Unpack[Asking],
    ) -> Answer[complete.Output]:
        """A chat or a bare prompt; `messages`, `tools` and `tool_choice` in OpenAI's shapes."""
        fields = {
            "prompt": prompt,
            "messages": messages,
            "output_schema": output_schema,
            "json_object": json_object,
            "repair": repair,
            "whole": whole,
            "truncate": truncate,
            "tools": tools,
            "tool_choice": tool_choice,
            "parallel_tool_calls": parallel_tool_calls,
            "n": n,
            "stop": stop,
            "seed": seed,
            "logprobs": logprobs,
            "params": params,
        }
        return self._typed("complete", fields, asking, complete.Output)

    def embed(
        self,
        texts: Sequence[str] | None = None,
        *,
        content: str | None = None,
        dimensions: int | None = None,
        **asking: Unpack[Asking],
    ) -> Answer[embed.Output]:
        """Texts as unit vectors."""
        fields = {"texts": texts, "content": content, "dimensions": dimensions}
        return self._typed("embed", fields, asking, embed.Output)

    def execute_prompt(
        self,
        prompt: str,
        variables: Mapping[str, Any] | None = None,
        *,
        version: int | None = None,
        label: str | None = None,
        key: str | None = None,
        **asking: Unpack[Asking],
    ) -> Answer[execute_prompt.Output]:
        """A prompt of the registry or the library, with your variables."""
        fields = {"prompt": prompt, "variables": variables, "version": version, "label": label, "key": key}
        return self._typed("execute_prompt", fields, asking, execute_prompt.Output)

    def moderate(
        self,
        content: str | None = None,
        *,
        texts: Sequence[str] | None = None,
        **asking: Unpack[Asking],
    ) -> Answer[moderate.Output]:
        """Whether texts hold what should not be said, by category; or one text."""
        fields = {"content": content, "texts": texts}
        return self._typed("moderate", fields, asking, moderate.Output)

    def ask(self, operation: str, input: Mapping[str, Any], **asking: Unpack[Asking]) -> Result:  # noqa: A002
        """Any operation by its name; the result as it came, whatever it says. Raises only where there is none."""
        try:
            return self._result(operation, input, asking)
        except errors.NoAnswer as error:
            return error.result

    def _typed(
        self, operation: str, fields: Mapping[str, Any], asking: Mapping[str, Any], output: type[O]
    ) -> Answer[O]:
        return answers.answer(self._result(operation, fields, asking), output)

    def _result(self, operation: str, fields: Mapping[str, Any], asking: Mapping[str, Any]) -> Result:
        """Sent under one key, then followed to its end."""
        made, until = calls.keyed(calls.record(fields, asking)), self._transport.until(asking)
        wait_s = max(0.0, min(calls.LONGEST_WAIT_S, until - time.monotonic()))
        found = self._transport.call(calls.asked(operation, made, asking.get("lane"), wait_s), until)
        pause = _FIRST_LOOK_S
        while isinstance(found, Standing):
            left = until - time.monotonic()
            if left <= 0:
                raise errors.TimedOut(
                    f"{operation} {found.request_id} has not ended in time; it goes on, and "
                    f"`requests.get({found.request_id!r})` says how it stands.",
                    request_id=found.request_id,
                )
            time.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_LOOK_S)
            found = self._transport.call(calls.looked(found), until)
        return found
