"""The operations: one module each, and this table.

Topic names, CLI verbs and HTTP routes derive from it. Adding an operation touches its module here, its words and
its name in `schemas/`, its prompt in `prompts/library/`, its test, and one line below.
"""

from agents import classify, compare, complete, embed, execute_prompt, extract, moderate, rewrite, summarize
from agents.base import Operation

OPERATIONS: dict[str, Operation] = {
    "summarize": summarize.OPERATION,
    "extract": extract.OPERATION,
    "classify": classify.OPERATION,
    "compare": compare.OPERATION,
    "rewrite": rewrite.OPERATION,
    "complete": complete.OPERATION,
    "embed": embed.OPERATION,
    "execute_prompt": execute_prompt.OPERATION,
    "moderate": moderate.OPERATION,
}
