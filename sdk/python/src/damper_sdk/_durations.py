"""Checks durations where the author writes them: `retry_after="30s"` is an error on that line, and not a wait that nobody keeps."""

import math
from typing import Any


def check_seconds(name: str, value: Any) -> float:
    """The value, if it is a number of seconds; else TypeError or ValueError, with how to write it."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} is a number of seconds, such as {name}=30, and not {_shown(value)}")
    if not math.isfinite(value):
        raise ValueError(f"{name} is a number of seconds, such as {name}=30, and {value} is none")
    return value


def _shown(value: Any) -> str:
    kind = type(value).__name__
    return f"{value!r:.40} ({kind})" if isinstance(value, (str, bytes, bool)) else kind
