"""How long an answer may be."""

from providers import choosing
from providers.base import Able


def longest(asked: int | None, wished: int | None, able: Able | None) -> int | None:
    """In tokens: what the request asked for, if the model can write so much; else what the operation wishes for its answer, and
    room beside it for a model that thinks: its thoughts would use up the little that an answer needs, and nothing would be said.
    """
    if able is None:
        return asked or wished
    if asked:
        return min(asked, choosing.longest(able) or asked)
    if wished is None:
        return None
    room = wished + able.thinks
    return room if able.output_tokens is None else min(room, able.output_tokens)
