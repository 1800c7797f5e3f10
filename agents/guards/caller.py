"""A caller with rules before and after each call; operations know nothing of it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

from agents import moderate
from agents.base import NO_MORE, Caller, InvalidInput, More, OperationError
from agents.guards.rules import MODERATION, Do, Rule, When
from agents.guards.vault import Vault
from prompts import Rendered
from providers.calls import ChatAnswer, EmbedAnswer, Image, Message, ModerateAnswer, ToolCall
from providers.errors import Unsupported
from schemas.errors import ErrorType
from schemas.moderate import Verdict

OURS = More(ours=True)
Counted = Callable[[str, When, Do], None]
"""Told each verdict: the rule, when, and what was done."""


Judge = Callable[[Caller, str], Awaitable[Verdict | None]]
"""Another model than the request's own; None: that one judges."""


@runtime_checkable
class Read(Protocol):
    """A caller whose answers somebody may read along while they are made."""

    reads: Any


class RefusedAnswer(OperationError):
    """A rule of ours does not let this answer out."""

    type = ErrorType.REFUSED


class Guarded:
    """One request's. Nobody reads along: what is not judged yet must not be seen."""

    def __init__(self, caller: Caller, rules: Sequence[Rule], counted: Counted, judge: "Judge | None" = None) -> None:
        self._caller, self._rules, self._counted, self._judge = caller, rules, counted, judge
        self._vault = Vault()
        self._seen: set[tuple[When, str]] = set()
        self.traits, self.library, self.pinned = caller.traits, caller.library, caller.pinned
        if isinstance(caller, Read):
            caller.reads = None

    def render(self, slug: str, **variables: Any) -> Rendered:
        return self._caller.render(slug, **variables)

    def warn(self, text: str) -> None:
        self._caller.warn(text)

    async def chat(
        self,
        messages: Sequence[Message],
        *,
        prompt: Rendered | None = None,
        schema: dict[str, Any] | None = None,
        max_tokens: int | None = None,
        more: More = NO_MORE,
    ) -> ChatAnswer:
        """What is sent is masked, what comes back has the caller's own values again; rules about the answer see those."""
        for message in messages:
            for text in _texts(message):
                self._vault.avoid(text)
        sent = [self._before(message) for message in messages]
        await self._moderated([text for message in sent for text in _texts(message)], "before")
        answer = await self._caller.chat(sent, prompt=prompt, schema=schema, max_tokens=max_tokens, more=more)
        arguments = [call.arguments for call in answer.tool_calls]
        await self._moderated([answer.text, answer.reasoning or "", answer.refusal or "", *arguments], "after")
        return self._after(answer, is_json=schema is not None or more.json_mode)

    async def embed(self, texts: Sequence[str], *, dimensions: int | None = None) -> EmbedAnswer:
        for text in texts:
            self._vault.avoid(text)
        sent = [self._judged(text) for text in texts]
        try:
            await self._moderated(sent, "before")
        except Unsupported as error:
            words = (
                "The guard `moderation` asks the request's own model, and this one only embeds: name a judge"
                " (GENAI_MODERATION_MODEL), or take the guard from `embed`."
            )
            raise InvalidInput(words, guard=MODERATION, when="before") from error
        return await self._caller.embed(sent, dimensions=dimensions)

    async def moderate(self, texts: Sequence[str]) -> ModerateAnswer | None:
        for text in texts:
            self._vault.avoid(text)
        return await self._caller.moderate([self._judged(text) for text in texts])

    async def _moderated(self, texts: Sequence[str], when: When) -> None:
        """What the judge says of them, else the request's own model: masked as they are, and each once, however often it is sent."""
        rules = [rule for rule in self._of(when) if rule.judges]
        new = [text for text in dict.fromkeys(texts) if text.strip() and (when, text) not in self._seen]
        if not rules or not new:
            return
        self._seen.update((when, text) for text in new)
        whole = "\n\n".join(new)
        verdict = None if self._judge is None else await self._judge(self._caller, whole)
        if verdict is None:
            (verdict,) = await moderate.verdicts([whole], self._caller, OURS)
        if verdict.flagged:
            found = tuple(name for name, is_found in verdict.categories.items() if is_found)
            for rule in rules:
                self._found(rule, when, InvalidInput if when == "before" else RefusedAnswer, found)

    def _before(self, message: Message) -> Message:
        parts = tuple(part if isinstance(part, Image) else self._judged(part) for part in message.parts)
        calls = tuple(replace(call, arguments=self._judged(call.arguments)) for call in message.tool_calls)
        return replace(message, content=self._judged(message.content), parts=parts, tool_calls=calls)

    def _judged(self, text: str) -> str:
        for rule in self._of("before"):
            for kind in rule.kinds:
                if rule.do == "mask":
                    text, count = self._vault.mask(text, kind)
                    if count:
                        self._say(rule, "before", "masked before the model read it")
                elif kind.find(text):
                    self._found(rule, "before", InvalidInput)
        return text

    def _after(self, answer: ChatAnswer, *, is_json: bool) -> ChatAnswer:
        calls = tuple(self._restored(call) for call in answer.tool_calls)
        text = self._vault.restore(answer.text, is_json=is_json)
        reasoning = None if answer.reasoning is None else self._vault.restore(answer.reasoning)
        for rule in self._of("after"):
            told = (text, reasoning or "", answer.refusal or "", *(call.arguments for call in calls))
            if any(kind.find(each) for kind in rule.kinds for each in told):
                self._found(rule, "after", RefusedAnswer)
        return replace(answer, text=text, reasoning=reasoning, tool_calls=calls)

    def _restored(self, call: ToolCall) -> ToolCall:
        return replace(call, arguments=self._vault.restore(call.arguments, is_json=True))

    def _found(self, rule: Rule, when: When, error: type[OperationError], names: Sequence[str] = ()) -> None:
        """Refused or reported; the words never hold what was found. `names`: what a model calls it."""
        if rule.do == "report":
            self._say(rule, when, "reported", ", ".join(names) or "something")
            return
        self._counted(rule.name, when, rule.do)
        what = "the input" if when == "before" else "the model's answer"
        words = f"The guard `{rule.name}` refuses {what}: it holds {', '.join(names) or 'what must not pass'}."
        more = {"categories": list(names)} if names else {}
        raise error(words, guard=rule.name, when=when, **more)

    def _say(self, rule: Rule, when: When, done: str, what: str = "something") -> None:
        self._counted(rule.name, when, rule.do)
        self._caller.warn(f"guard `{rule.name}`, {when} a call: found {what}, {done}")

    def _of(self, when: When) -> list[Rule]:
        return [rule for rule in self._rules if when in rule.when]


def _texts(message: Message) -> list[str]:
    parts = [part for part in message.parts if isinstance(part, str)]
    return [message.content, *parts, *(call.arguments for call in message.tool_calls)]
