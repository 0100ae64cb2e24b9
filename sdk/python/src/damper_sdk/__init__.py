"""Write a Damper provider: a module with one plain function, `fetch_record(request: FetchRequest) -> Record`. See README.md."""

from . import cache, config, http, ids, json, log, sign, text, two_step, xml
from .failures import (
    Failure,
    Malformed,
    NotFound,
    NotReady,
    Other,
    Rejected,
    Throttled,
    TimedOut,
    Unauthorized,
    Unavailable,
)
from .record import FetchRequest, Record
from .response import Response

__all__ = [
    "Failure",
    "FetchRequest",
    "Malformed",
    "NotFound",
    "NotReady",
    "Other",
    "Record",
    "Rejected",
    "Response",
    "Throttled",
    "TimedOut",
    "Unauthorized",
    "Unavailable",
    "cache",
    "config",
    "http",
    "ids",
    "json",
    "log",
    "sign",
    "text",
    "two_step",
    "xml",
]
