"""What producers send: plain requests, and among them what producers do wrong. A generator with a seed, no clock.

Content holds its own id, so that nothing is answered by another request's answer.
"""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Expect = Literal["answer", "refusal", "letter"]
"""`answer`: a terminal result of its identity. `refusal`: one that says `invalid_request`. `letter`: a dead letter, no result."""

TOPICS = ("genai.requests.summarize", "genai.requests.summarize.realtime", "genai.requests.complete.batch")
FAULTS = ("overloaded*1", "server_error*1", "disconnected*1", "rate_limited:0.1*1", "cut*1", "unreadable*1")


@dataclass(frozen=True, slots=True)
class Record:
    """A record before it has a place."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    id: str = ""
    expect: Expect = "answer"
    on_ambiguous: str = "retry"
    ordered: bool = False


@dataclass(frozen=True, slots=True)
class Sent:
    """A record and where it stands."""

    record: Record
    offset: int

    @property
    def place(self) -> str:
        return f"{self.record.topic}/{self.record.partition}/{self.offset}"


@dataclass(frozen=True)
class Mix:
    """Shares of what is not a plain request."""

    faulty: float = 0.12
    never_twice: float = 0.25
    repeated: float = 0.06
    conflicting: float = 0.03
    poison: float = 0.04
    ordered: float = 0.0


def stream(chance: random.Random, partitions: int, mix: Mix = Mix(), prefix: str = "r") -> Iterator[Record]:
    """Without end."""
    number = 0
    earlier: list[Record] = []
    while True:
        number += 1
        topic, partition = chance.choice(TOPICS), chance.randrange(partitions)
        dice = chance.random()
        if dice < mix.poison:
            yield _poison(chance, topic, partition, f"{prefix}{number}")
        elif dice < mix.poison + mix.repeated and earlier:
            yield chance.choice(earlier)
        elif dice < mix.poison + mix.repeated + mix.conflicting and earlier:
            old = chance.choice([record for record in earlier if not record.ordered] or earlier)
            yield _request(old.topic, old.partition, old.key, old.id, f"{old.id} says something else now {number}", {})
        else:
            made = _plain(chance, mix, topic, partition, f"{prefix}{number}")
            earlier = [*earlier[-50:], made]
            yield made


def _plain(chance: random.Random, mix: Mix, topic: str, partition: int, id_: str) -> Record:
    options: dict[str, Any] = {}
    content = f"Acme sold {id_} pumps. It was a good year."
    if chance.random() < mix.never_twice:
        options["on_ambiguous"] = "fail"
    key = chance.choice([None, f"k{chance.randrange(8)}".encode()])
    if chance.random() < mix.ordered:
        options["ordered"], topic, key = True, TOPICS[0], f"o{chance.randrange(3)}".encode()
        partition = 0
    elif chance.random() < mix.faulty:
        content += f" [fake:{chance.choice(FAULTS)}]"
    return _request(topic, partition, key, id_, content, options)


def _request(
    topic: str, partition: int, key: bytes | None, id_: str, content: str, options: Mapping[str, Any]
) -> Record:
    input_ = {"prompt": content} if ".complete" in topic else {"content": content}
    value = json.dumps({"id": id_, "input": input_, "options": options, "metadata": {"of": id_}}).encode()
    ambiguous = str(options.get("on_ambiguous", "retry"))
    return Record(
        topic, partition, key, value, id_, on_ambiguous=ambiguous, ordered=bool(options.get("ordered", False))
    )


def _poison(chance: random.Random, topic: str, partition: int, id_: str) -> Record:
    value, expect = chance.choice(poisons(id_))
    return Record(topic, partition, b"poison", value, id_ if expect == "refusal" else "", expect)


def poisons(id_: str) -> Sequence[tuple[bytes | None, Expect]]:
    """Five kinds: no JSON, nothing, JSON of another shape, a request without what it needs, one that is too deep."""
    deep = b'{"id": "%s", "input": {"content": ' % id_.encode() + b"[" * 300 + b"]" * 300 + b"}}"
    return (
        (b"\xff\xfe<xml>", "letter"),
        (None, "letter"),
        (b"[1, 2, 3]", "letter"),
        (json.dumps({"id": id_, "input": {}}).encode(), "refusal"),
        (deep, "refusal"),
    )
