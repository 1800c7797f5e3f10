"""execute_prompt: a prompt of the library, with the caller's variables, in the version of its acceptance.

While a request waits, a deployment may bring a newer version or edit the named one. So the wording is pinned when the
request is accepted; a worker that does not have that very wording says so and calls nothing.
"""

from dataclasses import replace

from agents import structured, user_schema
from agents.base import Caller, InvalidInput, More, NotHere, Operation, Whose
from prompts import ChangedPrompt, Library, Pin, Preferences, PromptError, Rendered, UnknownPrompt, Wish, Wording
from providers.base import messages
from schemas.execute_prompt import Input, Output, Used

MAX_TOKENS = 512
"""For a request that names none, as for `complete`."""


def pin(asked: Input, library: Library, whose: Whose) -> str:
    """The version that is meant now. Refuses an unknown prompt, version or label, and variables that do not fit."""
    wish = Wish(asked.version, asked.label, whose.tenant, whose.sticky)
    try:
        wording, label = library.chosen(asked.prompt, wish)
        wording.check(asked.variables)
    except PromptError as error:
        raise InvalidInput(str(error)) from error
    user_schema.check(wording.version.output_schema, "output_schema")
    return str(replace(wording.pin, label=label))


def prefers(pinned: str, library: Library) -> Preferences:
    """What the pinned wording wants where the request does not say."""
    return library.pinned(Pin.read(pinned)).version.preferences


async def execute_prompt(asked: Input, caller: Caller) -> Output:
    """`parsed` is null for a prompt whose answer is text."""
    wording = _pinned(caller)
    prompt = _rendered(wording, asked)
    schema = wording.version.output_schema
    label = Pin.read(caller.pinned or "").label or None
    used = Used(id=wording.prompt.id, slug=wording.prompt.slug, version=wording.version.version, label=label)
    room = wording.version.preferences.max_tokens or MAX_TOKENS
    more = More(temperature=wording.version.preferences.temperature)
    if schema is None:
        turns = messages(prompt.system, [("user", prompt.user)])
        answer = await caller.chat(turns, prompt=prompt, max_tokens=room, more=more)
        if answer.finish_reason == "length":
            caller.warn("the answer was cut off at max_tokens")
        return Output(content=answer.text, prompt=used)
    accept = user_schema.acceptor(schema, "output_schema")
    asking = replace(structured.question(prompt, schema, accept, max_tokens=room), more=more)
    answered = await structured.ask(caller, asking)
    return Output(content=answered.text, parsed=answered.value, prompt=used)


def _pinned(caller: Caller) -> Wording:
    assert caller.pinned is not None
    chosen = Pin.read(caller.pinned)
    try:
        return caller.library.pinned(chosen)
    except (UnknownPrompt, ChangedPrompt) as error:
        raise NotHere(
            f"this request was accepted with version {chosen.version} of the prompt '{chosen.name}', which this worker does "
            f"not have: {error}. Give the worker that version back, or send the request again for the newest one",
            prompt=chosen.name,
            version=chosen.version,
        ) from error


def _rendered(wording: Wording, asked: Input) -> Rendered:
    try:
        prompt = wording.render(asked.variables)
    except PromptError as error:
        raise InvalidInput(str(error)) from error
    if not prompt.user:
        raise InvalidInput(
            f"the prompt '{prompt.slug}' is blank with these variables; there is nothing to ask the model"
        )
    return prompt


OPERATION = Operation("execute_prompt", Input, Output, execute_prompt, pin=pin, prefers=prefers, own_wording=True)
