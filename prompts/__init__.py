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
from prompts.library import Library, Wording
from prompts.pin import Pin
from prompts.render import Rendered

__all__ = [
    "BadPromptFile",
    "BadTemplate",
    "BadVariables",
    "ChangedPrompt",
    "Library",
    "Pin",
    "PromptError",
    "Rendered",
    "TooMuch",
    "UnknownPrompt",
    "Wording",
]
