"""The delimiters around a user's text.

A text is data: it is put between tags that do not occur in it, so that nothing in it can close them, and it is never
parsed as a template. The tag depends on the text alone: the same request makes the same call, which the ledger knows.
"""

import re

_TAG = re.compile(r"<\s*/?\s*text(?:-(\d{1,9}))?(?!\d)", re.IGNORECASE)


def fence(text: str) -> str:
    """`text` between `<text>` tags, or `<text-2>`, `<text-3>` …: the first whose number it does not use."""
    used = {int(match[1] or 1) for match in _TAG.finditer(text)}
    number = next(candidate for candidate in range(1, len(used) + 2) if candidate not in used)
    tag = "text" if number == 1 else f"text-{number}"
    return f"<{tag}>\n{text}\n</{tag}>"
