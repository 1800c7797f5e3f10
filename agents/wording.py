"""The very wording that a request was accepted with, or a failure that says what to do."""

from agents.base import NotHere
from prompts import ChangedPrompt, Library, Pin, UnknownPrompt, Wording


def pinned(library: Library, pin: Pin) -> Wording:
    """Raises `NotHere`."""
    try:
        return library.pinned(pin)
    except (UnknownPrompt, ChangedPrompt) as error:
        raise NotHere(
            f"this request was accepted with version {pin.version} of the prompt '{pin.name}', which this worker does "
            f"not have: {error}. Give the worker that version back, or send the request again for the newest one",
            prompt=pin.name,
            version=pin.version,
        ) from error
