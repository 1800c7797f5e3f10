# Made by `python -m scripts.client` from schemas/letter.py; change it there.
"""What is said about a dead letter: headers beside its own, on the untouched record."""

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from genai_spine_client.schemas.errors import ErrorType


class LetterHeaders(BaseModel):
    """Each header is a text in UTF-8. A record that never named a request has no id and no tenant."""

    model_config = ConfigDict(extra="allow", validate_by_name=True)

    error_type: ErrorType = Field(alias="genai-error-type")
    error: str = Field(alias="genai-error", max_length=2000)
    source: str = Field(alias="genai-source", description="`topic/partition/offset`, or `http/<operation>/0`.")
    attempts: str = Field(alias="genai-attempts", pattern=r"^\d+$")
    failed_at: AwareDatetime = Field(alias="genai-failed-at")
    original_topic: str = Field(alias="x-original-topic")
    id: str | None = Field(None, alias="genai-id")
    tenant: str | None = Field(None, alias="genai-tenant")

    def on_the_wire(self) -> dict[str, str]:
        """By their names there; what is null is left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)
