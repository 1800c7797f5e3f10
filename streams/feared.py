"""What a request's first call may cost at most, told from its record: before its prompt is rendered, so rather too much."""

import re

from providers import tokens
from providers.calls import Spent
from providers.prices import PriceTable
from schemas.request import Request

WORDING = 1_000
"""Tokens of a shipped prompt and of what its schema adds, at most. One's own may be longer: then the call gets more for itself."""
MARGIN = 1.5
"""As of a call's own estimate."""
PICTURE = 3_000
"""Tokens of an image, whatever its size in bytes."""
OUTPUT = 4_096
"""Of a request that sets no `max_tokens`: no operation asks for more."""
_PICTURE = re.compile(rb'"data:image/[^"]*"')
_PER_TEXT = 8


def feared(
    prices: PriceTable, provider: str, model: str, request: Request, value: bytes, *, embeds: bool
) -> int | None:
    """Nano-dollars; 0 where the model is free, None where nothing prices it."""
    if prices.is_free(provider, model):
        return 0
    pictures = 0
    if b'"data:image/' in value:
        value, pictures = _PICTURE.subn(b'""', value)
    texts = value.count(b'"') // 2
    prompt = int(tokens.estimate(value.decode(errors="replace")) * MARGIN) + _PER_TEXT * texts
    output = 0 if embeds else request.options.max_tokens or OUTPUT
    seconds = request.options.timeout_s or 60.0
    spent = Spent(prompt + pictures * PICTURE + WORDING, output, estimated=True, gpu_seconds=seconds)
    return prices.of(provider, model, spent).nano
