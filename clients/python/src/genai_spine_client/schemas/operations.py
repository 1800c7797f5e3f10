# Made by `python -m scripts.client` from schemas/operations.py; change it there.
"""The operations' names, for whoever needs no more. `agents.OPERATIONS` has the operations, under the same names."""

NAMES = (
    "summarize",
    "extract",
    "classify",
    "compare",
    "rewrite",
    "complete",
    "embed",
    "execute_prompt",
    "moderate",
)
