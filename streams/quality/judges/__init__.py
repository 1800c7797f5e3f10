"""One judge per operation: from its labels and results to figures. Pure."""

from streams.quality.figures import Judge
from streams.quality.judges import classify, compare, complete, embed, execute_prompt, extract, rewrite, summarize

JUDGES: dict[str, Judge] = {
    "classify": classify.judge,
    "extract": extract.judge,
    "summarize": summarize.judge,
    "compare": compare.judge,
    "rewrite": rewrite.judge,
    "complete": complete.judge,
    "execute_prompt": execute_prompt.judge,
    "embed": embed.judge,
}
