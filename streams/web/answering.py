"""Which model each answer is of, for the API's description; the client reads answers with the same ones."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from schemas import answers, books, openai, registry
from schemas.result import Result
from schemas.runs import Run
from schemas.schedules import Schedule

_SCHEDULE = "/v1/schedules/{schedule}"
_FILE, _BATCH = "/v1/files/{file_id}", "/v1/batches/{batch_id}"
_PROMPT, _RUN, _REQUEST = "/v1/prompts/{prompt}", "/v1/runs/{run_id}", "/v1/requests/{request_id}"
ANSWERS: Mapping[tuple[str, str], tuple[type[BaseModel], ...]] = {
    ("get", "/v1/usage"): (books.Usage,),
    ("get", "/v1/costs"): (books.Costs,),
    ("get", "/v1/costs/corrections"): (books.Corrections,),
    ("get", "/v1/schedules"): (answers.ScheduleList,),
    ("get", _SCHEDULE): (Schedule,),
    ("put", _SCHEDULE): (Schedule,),
    **{("post", f"{_SCHEDULE}/{order}"): (Schedule,) for order in ("pause", "resume", "run")},
    ("get", "/v1/models"): (answers.ModelList,),
    ("get", "/v1/models/{model}"): (answers.ModelItem,),
    ("get", "/v1/requests"): (answers.RequestPage,),
    ("get", _REQUEST): (Result, answers.Standing),
    ("post", f"{_REQUEST}/cancel"): (answers.Cancelled,),
    ("get", "/v1/runs"): (answers.RunPage,),
    ("post", "/v1/runs"): (Run,),
    ("get", _RUN): (Run,),
    ("get", f"{_RUN}/items"): (answers.ItemPage,),
    ("post", f"{_RUN}/cancel"): (answers.RunCancelled,),
    ("post", f"{_RUN}/retry"): (answers.RunRetried,),
    ("get", "/v1/pipelines"): (answers.PipelineList,),
    ("get", "/v1/pipelines/{pipeline}"): (answers.PipelineItem,),
    ("get", "/v1/prompts"): (registry.PromptPage,),
    ("post", "/v1/prompts"): (registry.Prompt,),
    ("get", _PROMPT): (registry.Prompt,),
    ("put", _PROMPT): (registry.Prompt,),
    ("delete", _PROMPT): (registry.Prompt,),
    ("post", f"{_PROMPT}/restore"): (registry.Prompt,),
    ("post", f"{_PROMPT}/labels"): (registry.Prompt,),
    ("delete", f"{_PROMPT}/labels/{{label}}"): (registry.Prompt,),
    ("post", f"{_PROMPT}/rollback"): (registry.Prompt,),
    ("post", f"{_PROMPT}/render"): (registry.Rendered,),
    ("get", f"{_PROMPT}/versions"): (registry.VersionList,),
    ("get", f"{_PROMPT}/versions/{{version}}"): (registry.PromptVersion,),
    ("get", f"{_PROMPT}/diff"): (registry.Difference,),
    ("get", f"{_PROMPT}/labels"): (registry.Labels,),
    ("get", f"{_PROMPT}/executions"): (registry.Executions,),
    ("put", f"{_PROMPT}/labels/{{label}}"): (registry.Prompt,),
    ("get", f"{_PROMPT}/labels/{{label}}/arms"): (registry.Arms,),
    ("delete", _SCHEDULE): (answers.ScheduleRemoved,),
    ("get", "/v1/files"): (openai.FilePage,),
    ("post", "/v1/files"): (openai.StoredFile,),
    ("get", _FILE): (openai.StoredFile,),
    ("delete", _FILE): (openai.FileDeleted,),
    ("get", "/v1/batches"): (openai.BatchPage,),
    ("post", "/v1/batches"): (openai.Batch,),
    ("get", _BATCH): (openai.Batch,),
    ("post", f"{_BATCH}/cancel"): (openai.Batch,),
    ("get", "/v1/responses/{response_id}/input_items"): (openai.InputItems,),
}
"""Method and path: several where an answer is one of them."""


def point(made: dict[str, Any], template: str) -> None:
    """Each answer's schema, in place: the models among the components, and a reference wherever one is answered."""
    components = made["components"]["schemas"]
    for (method, path), models in ANSWERS.items():
        for model in models:
            schema = model.model_json_schema(ref_template=template, mode="serialization")
            for below, told in schema.pop("$defs", {}).items():
                components.setdefault(below, told)
            components.setdefault(model.__name__, schema)
        found = [{"$ref": template.format(model=model.__name__)} for model in models]
        replies = made["paths"][path][method]["responses"]
        good = [reply for status, reply in replies.items() if status.startswith("2")]
        for reply in good:
            content = reply.setdefault("content", {}).setdefault("application/json", {})
            content["schema"] = found[0] if len(found) == 1 else {"anyOf": found}
