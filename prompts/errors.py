"""What can be wrong with a prompt.

PromptError
├── UnknownPrompt     no such slug, or no such version of it; the message names those that exist
│   └── UnreadPrompt  there is one, and somebody has to read it out of the database first
├── ChangedPrompt     a pinned version has another wording here
├── BadPromptFile     a library file that is not what it should be; the message names file and field
├── BadVariables      a variable is missing, unknown or of another type
├── BadTemplate       not a template, or one that uses what a prompt may not
└── TooMuch           the template, its work or its output is over a limit
"""


class PromptError(Exception):
    """Nothing was rendered."""


class UnknownPrompt(PromptError):
    """There is no prompt of that name and version."""


class UnreadPrompt(UnknownPrompt):
    """It is in the registry, and not in this process's memory."""


class ChangedPrompt(PromptError):
    """A version was edited after it was pinned."""


class BadPromptFile(PromptError):
    """A library file breaks the form that `prompts/library.py` describes."""


class BadVariables(PromptError):
    """The variables given are not those that the prompt declares."""


class BadTemplate(PromptError):
    """Prompts know variables, if, for, comparisons and a few filters; this one wants something else."""


class TooMuch(PromptError):
    """Rendering was stopped at a limit of `prompts.render.LIMITS`."""
