# Made by `python -m scripts.client` from schemas/openai.py; change it there.
"""OpenAI's own objects of files, batches and lists, as the API answers them. Read leniently: fields may be added."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class _Told(BaseModel):
    model_config = ConfigDict(extra="allow")


class StoredFile(_Told):
    """The object `file`. Times are seconds since 1970."""

    id: str
    object: Literal["file"]
    bytes: int
    created_at: int
    expires_at: int | None
    filename: str
    purpose: str
    status: str
    status_details: str | None


class _Page(_Told):
    object: Literal["list"]
    first_id: str | None
    last_id: str | None
    has_more: bool


class FilePage(_Page):
    """Files, newest first; `after=last_id` asks for the next ones."""

    data: list[StoredFile]


class FileDeleted(_Told):
    """A file that is gone."""

    id: str
    object: Literal["file"]
    deleted: bool


class BatchError(_Told):
    """Why a batch was not taken, or a line of it."""

    code: str | None = None
    line: int | None = None
    message: str
    param: str | None = None


class BatchErrors(_Told):
    """All of them."""

    object: Literal["list"]
    data: list[BatchError]


class BatchCounts(_Told):
    """Requests of a batch."""

    total: int
    completed: int
    failed: int


class Batch(_Told):
    """The object `batch`. Times are seconds since 1970; files are ids of `/v1/files`."""

    id: str
    object: Literal["batch"]
    endpoint: str
    errors: BatchErrors | None
    input_file_id: str
    completion_window: str
    status: Literal[
        "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"
    ]
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int | None
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: BatchCounts
    metadata: dict[str, Any] | None


class BatchPage(_Page):
    """Batches, newest first; `after=last_id` asks for the next ones."""

    data: list[Batch]


class InputItems(_Page):
    """What a response was asked, without what it went on from."""

    data: list[dict[str, Any]]
