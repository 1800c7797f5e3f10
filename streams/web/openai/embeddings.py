"""`/v1/embeddings`: the body as a request of the operation `embed`, and its vectors as numbers or base64.

Tokens are taken whatever the model: OpenAI's own embedding models and the clients that send tokens by default (LangChain) have
one vocabulary for all names that they do not know.
"""

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

from providers.vocabulary import Encoding, encoding_of
from streams.web.openai import token_ids
from streams.web.openai.answers import own
from streams.web.openai.fields import Asked, only, text, wrong

FIELDS = frozenset({"model", "input", "encoding_format", "dimensions", "user"})


def read(body: Mapping[str, Any]) -> tuple[Asked, bool]:
    """The call, and whether its vectors go out as base64. `user` stays with the request in the ledger."""
    if body.get("messages") is not None:
        raise wrong("messages", "`messages` is not taken: it belongs to /v1/chat/completions; here it is `input`.")
    told = only(body, FIELDS, "")
    model = text(told, "model")
    form = told.get("encoding_format", "float")
    if form not in ("float", "base64"):
        raise wrong("encoding_format", "`encoding_format` is float or base64.")
    input_: dict[str, Any] = {"texts": _texts(told.get("input"), model)}
    if "dimensions" in told:
        input_["dimensions"] = told["dimensions"]
    record: dict[str, Any] = {"input": input_, "options": {}}
    if "user" in told:
        if not isinstance(told["user"], str):
            raise wrong("user", "`user` must be a text.")
        record["metadata"] = {"user": told["user"]}
    return Asked(model, record), form == "base64"


def vocabulary_of(model: str) -> Encoding:
    """What tokens are read by."""
    return encoding_of(model) or "cl100k_base"


def _texts(given: Any, model: str) -> list[str]:
    if token_ids.are(given):
        return token_ids.read(given, vocabulary_of(model), "input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(each, str) for each in texts):
        raise wrong("input", "`input` must be a text, a list of at least one text, or the tokens of such.")
    return texts


def answered(result: Mapping[str, Any], model: str, *, packed: bool) -> dict[str, Any]:
    """OpenAI's list of embeddings."""
    vectors = result["output"]["embeddings"]
    used = own(result["usage"]).input_tokens
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": i, "embedding": _packed(vector) if packed else vector}
            for i, vector in enumerate(vectors)
        ],
        "model": model,
        "usage": {"prompt_tokens": used, "total_tokens": used},
    }


def _packed(vector: list[float]) -> str:
    """Little-endian floats of 32 bits, as OpenAI packs them."""
    return base64.b64encode(np.asarray(vector, dtype="<f4").tobytes()).decode()
