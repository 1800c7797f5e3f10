# Made by `python -m scripts.client` from schemas/control.py; change it there.
"""What an operator or a producer may say about a request that it has sent."""

from typing import Literal

from pydantic import BaseModel, model_validator

from genai_spine_client.schemas.request import Name


class Cancel(BaseModel):
    """Cancel one request by its identity (tenant, operation, id), or every request of a run."""

    action: Literal["cancel"] = "cancel"
    tenant: Name = "default"
    operation: Name | None = None
    id: Name | None = None
    run_id: Name | None = None

    @model_validator(mode="after")
    def _names_one_thing(self) -> "Cancel":
        if (self.run_id is None) == (self.id is None or self.operation is None):
            raise ValueError("name either a request (operation and id) or a run (run_id)")
        return self
