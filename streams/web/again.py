"""When whoever was refused may come again, as a header says it. Pure."""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from schemas.errors import ErrorType


def header(failure: Mapping[str, Any] | None, now: float) -> dict[str, str]:
    """Of a failed request. Only a budget knows when it begins anew; one in total never does, and one that has begun anew is
    none to wait for.
    """
    if failure is None or failure["type"] != ErrorType.BUDGET_EXCEEDED:
        return {}
    resets = (failure.get("details") or {}).get("resets_at")
    left_s = 0.0 if resets is None else datetime.fromisoformat(resets).timestamp() - now
    return {"Retry-After": str(math.ceil(left_s))} if left_s > 0 else {}
