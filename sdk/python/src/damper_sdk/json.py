"""JSON documents: looked up by JSON Pointer (RFC 6901), with failures that say what was missing."""

import json as _json
import re
from typing import Any

from ._text import excerpt
from .failures import Malformed

_INDEX = re.compile(r"0|[1-9][0-9]*")
_NAMES = {bool: "a boolean", int: "a number", float: "a number", list: "an array", dict: "an object", type(None): "null"}


def parse(text: str) -> Any:
    """Parses a document; `Malformed` where it is none."""
    try:
        return _json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"not the expected JSON: {excerpt(str(error))}") from None


def _no_constant(name: str) -> Any:
    # Python takes NaN and Infinity, which are no JSON.
    raise ValueError(f"{name} is not JSON")


_MISSING = object()


def _find(document: Any, pointer: str) -> Any:
    if pointer == "":
        return document
    if not pointer.startswith("/"):
        return _MISSING
    value = document
    for token in pointer[1:].split("/"):
        key = token.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and _INDEX.fullmatch(key) and int(key) < len(value):
            value = value[int(key)]
        else:
            return _MISSING
    return value


def lookup(document: Any, pointer: str) -> Any:
    """The value at a pointer, or None."""
    value = _find(document, pointer)
    return None if value is _MISSING else value


def at(document: Any, pointer: str) -> Any:
    """The value at a pointer; `Malformed` where there is none."""
    value = _find(document, pointer)
    if value is _MISSING:
        raise Malformed(f"the document has nothing at `{excerpt(pointer)}`")
    return value


def text_at(document: Any, pointer: str) -> str:
    """The text at a pointer; `Malformed` where there is none, or something else."""
    value = at(document, pointer)
    if isinstance(value, str):
        return value
    raise Malformed(f"the document has {_NAMES[type(value)]} at `{excerpt(pointer)}` where text was expected")
