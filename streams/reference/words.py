"""The models as JSON Schema 2020-12: what producers may write, and what they may rely on reading."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, create_model
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from agents.base import Operation
from schemas import Cancel, DailyTotals, LetterHeaders, Progress, Request, Result, UsageEvent
from schemas.prompts import LabelMoved, VersionMade
from schemas.replay import Comparison, ReplayPlan, ReplayReport
from schemas.runs import Run

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Mode = Literal["validation", "serialization"]
Table = Mapping[str, Operation]
Model = tuple[type[BaseModel], Mode]
Schema = dict[str, Any]

_FOR_READERS: Mapping[str, Model] = {
    "usage": (UsageEvent, "serialization"),
    "costs-daily": (DailyTotals, "serialization"),
    "progress": (Progress, "serialization"),
    "dead-letter-headers": (LetterHeaders, "serialization"),
    "run": (Run, "serialization"),
    "prompt.label-moved": (LabelMoved, "serialization"),
    "prompt.version-made": (VersionMade, "serialization"),
}
_SAID: Mapping[str, Model] = {
    "replay-plan": (ReplayPlan, "serialization"),
    "replay-report": (ReplayReport, "serialization"),
    "replay-diff": (Comparison, "serialization"),
}
"""What commands print with `--json`; no record of a topic."""


class _Untitled(GenerateJsonSchema):
    """A field's title would only repeat its name."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - Pydantic calls it so
        return False


def files(operations: Table) -> dict[str, Schema]:
    """A self-contained schema per record, by the stem of its file."""
    own: dict[str, Model] = {
        **{f"request.{name}": (request(one), "validation") for name, one in operations.items()},
        "cancel": (Cancel, "validation"),
        **_FOR_READERS,
        **_SAID,
    }
    schemas = {stem: _alone([model], model[0].__name__) for stem, model in own.items()}
    answers: list[Model] = [(Result, "serialization"), *_outputs(operations)]
    schemas["result"] = _alone(answers, "Result") | outputs_by_operation(operations, "#/$defs/{model}")
    return {stem: {"$schema": DIALECT, "$id": f"urn:genai-spine:{stem}", **schema} for stem, schema in schemas.items()}


def together(operations: Table, template: str) -> dict[str, Schema]:
    """Every model by its name, for a document that keeps them in one place; `template` says how it refers to them."""
    models: list[Model] = [
        *((request(one), "validation") for one in operations.values()),
        (Cancel, "validation"),
        *_FOR_READERS.values(),
        (Result, "serialization"),
        *_outputs(operations),
    ]
    found = _definitions(models, template)
    found["Result"] |= outputs_by_operation(operations, template)
    return found


def request(operation: Operation) -> type[BaseModel]:
    """A record of one operation's request topics: the envelope with that operation's input."""
    name = title(operation.name)
    input_ = create_model(f"{name}Input", __base__=operation.input, __doc__=operation.input.__doc__)
    said = f"A record of `genai.requests.{operation.name}`: only `input` is required."
    return create_model(f"{name}Request", __base__=Request, __doc__=said, input=(input_, ...))


def outputs_by_operation(operations: Table, template: str) -> Schema:
    """Which output stands in a result: that of its operation, where there is one."""
    return {
        "allOf": [
            {
                "if": {"properties": {"operation": {"const": name}, "output": {"type": "object"}}},
                "then": {"properties": {"output": {"$ref": template.format(model=f"{title(name)}Output")}}},
            }
            for name in sorted(operations)
        ]
    }


def title(name: str) -> str:
    """`execute_prompt` as `ExecutePrompt`."""
    return "".join(part.capitalize() for part in name.split("_"))


def _outputs(operations: Table) -> list[Model]:
    return [
        (create_model(f"{title(name)}Output", __base__=one.output, __doc__=one.output.__doc__), "serialization")
        for name, one in operations.items()
    ]


def _alone(models: Sequence[Model], main: str) -> Schema:
    """The schema of one model, with those that it refers to inside."""
    found = _definitions(models, "#/$defs/{model}")
    own = found.pop(main)
    return own | ({"$defs": found} if found else {})


def _definitions(models: Sequence[Model], template: str) -> dict[str, Schema]:
    _, found = models_json_schema(models, ref_template=template, schema_generator=_Untitled)
    defined: dict[str, Schema] = found["$defs"]
    return defined
