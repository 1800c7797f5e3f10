"""execute_prompt: a prompt of the library, with the caller's variables, in the version of its acceptance.

While a request waits, a deployment may bring a newer version or edit the named one. So the wording is pinned when the
request is accepted; a worker that does not have that very wording says so and calls nothing.
"""

from agents import structured, user_schema
from agents.base import Caller, InvalidInput, NotHere, Operation
from prompts import ChangedPrompt, Library, Pin, PromptError, Rendered, UnknownPrompt, Wording
from providers.base import messages
from schemas.execute_prompt import Input, Output, Used

MAX_TOKENS = 512
"""For a request that names none, as for `complete`."""


def pin(asked: Input, library: Library) -> str:
    """The version named, else the newest one now. Refuses an unknown prompt or version, and variables that do not fit."""
    try:
        wording = library.wording(asked.prompt, asked.version)
        wording.check(asked.variables)
    except PromptError as error:
        raise InvalidInput(str(error)) from error
    user_schema.check(wording.version.output_schema, "output_schema")
    return str(wording.pin)


async def execute_prompt(asked: Input, caller: Caller) -> Output:
    """`parsed` is null for a prompt whose answer is text."""
    wording = _pinned(caller)
    prompt = _rendered(wording, asked)
    schema = wording.version.output_schema
    used = Used(id=wording.prompt.id, slug=wording.prompt.slug, version=wording.version.version)
    if schema is None:
        turns = messages(prompt.system, [("user", prompt.user)])
        answer = await caller.chat(turns, prompt=prompt, max_tokens=MAX_TOKENS)
        if answer.finish_reason == "length":
            caller.warn("the answer was cut off at max_tokens")
        return Output(content=answer.text, prompt=used)
    accept = user_schema.acceptor(schema, "output_schema")
    asking = structured.question(prompt, schema, accept, max_tokens=MAX_TOKENS)
    answered = await structured.ask(caller, asking)
    return Output(content=answered.text, parsed=answered.value, prompt=used)


def _pinned(caller: Caller) -> Wording:
    assert caller.pinned is not None
    chosen = Pin.read(caller.pinned)
    try:
        return caller.library.pinned(chosen)
    except (UnknownPrompt, ChangedPrompt) as error:
        raise NotHere(
            f"this request was accepted with version {chosen.version} of the prompt '{chosen.slug}', which this worker does "
            f"not have: {error}. Give the worker that version back, or send the request again for the newest one",
            prompt=chosen.slug,
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


OPERATION = Operation("execute_prompt", Input, Output, execute_prompt, pin=pin, own_wording=True)
