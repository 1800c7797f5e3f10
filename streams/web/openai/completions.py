"""`/v1/completions`, OpenAI's old path: a bare prompt as a request of the operation `complete`, answered as a chat model answers.

Without `max_tokens` the answer ends where the model ends it; OpenAI's own 16 tokens would be a cut that nobody asked for.
"""

from collections.abc import Mapping
from typing import Any

from providers.vocabulary import encoding_of
from streams.web.openai import chat, token_ids
from streams.web.openai.fields import Asked, only, text, wrong

_WISHES = frozenset({"top_p", "top_k", "min_p", "frequency_penalty", "presence_penalty", "logit_bias", "user"})
FIELDS = frozenset(
    {
        *_WISHES,
        "model",
        "prompt",
        "max_tokens",
        "temperature",
        "stop",
        "seed",
        "n",
        "logprobs",
        "stream",
        "stream_options",
    }
) | {"best_of", "echo", "suffix"}
MOST_PROMPTS = 64


def read(body: Mapping[str, Any]) -> list[Asked]:
    """One for each prompt. Raises `Problem` 400 that names a field."""
    if body.get("messages") is not None:
        raise wrong("messages", "`messages` is not taken: it belongs to /v1/chat/completions; here it is `prompt`.")
    told = only(body, FIELDS, "")
    model = text(told, "model")
    _refuse(told)
    prompts = _prompts(told.get("prompt"), model)
    stream, usage = chat.streaming(told)
    if stream and (len(prompts) > 1 or told.get("n") not in (None, 1)):
        raise wrong("stream", "`stream` goes with one prompt and one answer; ask without it, or several times.")
    input_: dict[str, Any] = {name: told[name] for name in ("n", "seed", "logprobs") if name in told}
    input_ |= chat.wishes(told) | {"whole": True}
    made = chat.envelope(told)
    return [Asked(model, {"input": {"prompt": prompt, **input_}, **made}, stream, usage) for prompt in prompts]


def _refuse(told: Mapping[str, Any]) -> None:
    if told.get("suffix"):
        raise wrong(
            "suffix", "`suffix` is not done: chat models continue, they do not fill in.", "unsupported_parameter"
        )
    if told.get("echo"):
        raise wrong("echo", "`echo` is not done; put the prompt before the answer yourself.", "unsupported_parameter")
    if told.get("best_of", 1) not in (1, told.get("n", 1)):
        raise wrong("best_of", "`best_of` is not done; ask for `n` and choose.", "unsupported_parameter")


def _prompts(given: Any, model: str) -> list[str]:
    """A text or several, or their tokens where the model's name says which tokenizer made them."""
    prompts = [given] if isinstance(given, str) else given
    if token_ids.are(given):
        encoding = encoding_of(model)
        if encoding is None:
            words = f"`prompt` holds tokens, and the tokenizer of {model[:200]!r} is not known here; send texts."
            raise wrong("prompt", words)
        prompts = token_ids.read(given, encoding, "prompt")
    if not isinstance(prompts, list) or not prompts or not all(isinstance(prompt, str) for prompt in prompts):
        raise wrong("prompt", "`prompt` must be a text, a list of texts, or the tokens of such.")
    if len(prompts) > MOST_PROMPTS:
        raise wrong("prompt", f"`prompt` has {len(prompts)} texts; at most {MOST_PROMPTS} are taken.")
    return prompts
