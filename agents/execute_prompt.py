"""execute_prompt: a prompt of the library, with the caller's variables, in the version of its acceptance.

While a request waits, a deployment may bring a newer version or edit the named one. So the wording is pinned when the
request is accepted; a worker that does not have that very wording says so and calls nothing.
"""

from dataclasses import replace

from agents import structured, user_schema, wording
from agents.base import Caller, InvalidInput, More, Operation, Whose
from prompts import Library, Pin, Preferences, PromptError, Rendered, Wish, Wording
from providers.calls import messages
from schemas.execute_prompt import Input, Output, Used
from schemas.pin import pins

MAX_TOKENS = 512
"""For a request that names none, as for `complete`."""


def pin(asked: Input, library: Library, whose: Whose) -> str:
    """The version that is meant now. Refuses an unknown prompt, version or label, and variables that do not fit."""
    wish = Wish(asked.version, asked.label, whose.tenant, asked.key or whose.sticky)
    try:
        meant, found = library.chosen(asked.prompt, wish)
        meant.check(asked.variables)
    except PromptError as error:
        raise InvalidInput(str(error)) from error
    user_schema.check(meant.version.output_schema, "output_schema")
    return str(replace(meant.pin, label=found.label, weight=found.weight, of=found.of))


def prefers(pinned: str, library: Library) -> Preferences:
    """What the pinned wording wants where the request does not say."""
    return library.pinned(Pin.read(pinned)).version.preferences


async def execute_prompt(asked: Input, caller: Caller) -> Output:
    """`parsed` is null for a prompt whose answer is text."""
    pin = pins(caller.pinned)[0]
    meant = wording.pinned(caller.library, pin)
    prompt = _rendered(meant, asked)
    schema = meant.version.output_schema
    used = Used(id=meant.prompt.id, slug=meant.prompt.slug, version=meant.version.version, label=pin.label or None)
    room = meant.version.preferences.max_tokens or MAX_TOKENS
    more = More(temperature=meant.version.preferences.temperature)
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


def _rendered(meant: Wording, asked: Input) -> Rendered:
    try:
        prompt = meant.render(asked.variables)
    except PromptError as error:
        raise InvalidInput(str(error)) from error
    if not prompt.user:
        raise InvalidInput(
            f"the prompt '{prompt.slug}' is blank with these variables; there is nothing to ask the model"
        )
    return prompt


OPERATION = Operation(
    "execute_prompt",
    Input,
    Output,
    execute_prompt,
    pin=pin,
    prefers=prefers,
    own_wording=True,
    wordings=(structured.REPAIR,),
)
