"""The prompt library: versioned wordings with typed variables, rendered within limits of time and size.

A prompt's text comes from a file, never from a request; what a request brings is a variable and stays data.
"""

from prompts.errors import (
    BadPromptFile,
    BadTemplate,
    BadVariables,
    ChangedPrompt,
    PromptError,
    TooMuch,
    UnknownPrompt,
)
from prompts.files import Preferences
from prompts.library import Library
from prompts.registered import Wish
from prompts.render import Rendered
from prompts.wording import Wording
from schemas.pin import Pin

__all__ = [
    "BadPromptFile",
    "BadTemplate",
    "BadVariables",
    "ChangedPrompt",
    "Library",
    "Pin",
    "Preferences",
    "PromptError",
    "Rendered",
    "TooMuch",
    "UnknownPrompt",
    "Wish",
    "Wording",
]
