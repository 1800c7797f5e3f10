"""The prompt library: versioned wordings with typed variables, rendered within limits of time and size.

A prompt's text comes from a file, never from a request; what a request brings is a variable and stays data.
"""

from prompts.errors import BadPromptFile, BadTemplate, BadVariables, PromptError, TooMuch, UnknownPrompt
from prompts.library import Library
from prompts.render import Rendered

__all__ = [
    "BadPromptFile",
    "BadTemplate",
    "BadVariables",
    "Library",
    "PromptError",
    "Rendered",
    "TooMuch",
    "UnknownPrompt",
]
