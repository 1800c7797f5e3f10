"""Models' names on these paths: who has answered. What a name stands for, the router says."""


def told(asked: str, provider: str, model: str) -> str:
    """Who has answered, by a name that asks for the very same again: as it was asked for, where that says it all."""
    return asked if asked in {model, f"{provider}/{model}"} else f"{provider}/{model}"
