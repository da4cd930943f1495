"""Events as what JSON can have."""

import re
from dataclasses import fields, is_dataclass
from typing import Any


def event_name(type: type) -> str:
    """Return the name of a type of events in JSON: ``pair-changed`` for ``PairChanged``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", type.__name__).lower()


def plain(value: Any) -> Any:
    """Return a dataclass as a dictionary of what JSON can have; infinity becomes ``None``."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple | list):
        return [plain(each) for each in value]
    if isinstance(value, float):
        return round(value, 6) if abs(value) < float("inf") else None
    if isinstance(value, str):
        return str(value)
    return value
