"""URLs from a template and values: whatever a value holds, it stays where the template puts it."""

import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from ._text import excerpt
from .failures import Other, Rejected

_ABSOLUTE = re.compile(r"([^/?{}]+://[^/?]+)([^?]*)(\?.*)?", re.DOTALL)
_PLACEHOLDER = re.compile(r"\{([^}]*)(\}?)")


def encode(value: str) -> str:
    """All but RFC 3986's unreserved characters as %XX."""
    return quote(value, safe="", errors="replace")


def encode_pairs(pairs: Iterable[tuple[str, str]]) -> str:
    """`name=value&name=value`, percent-encoded."""
    return "&".join(f"{encode(name)}={encode(value)}" for name, value in pairs)


def join(base: str, path: str) -> str:
    """A path appended to a base URL, with one slash between."""
    if "?" in base or "#" in base:
        raise _invalid("a path is joined to a URL that has a query", base)
    return f"{base.rstrip('/')}/{path.lstrip('/')}"


def build(template: str, values: Mapping[str, str], query: list[tuple[str, str]]) -> str:
    """The URL, with `{name}` filled from `values` and `query` appended.

    What a path cannot carry (nothing, or dots alone, which a URL parser takes for "here" and "up") is `Rejected`: no retry
    would help. A slip of the author's is `Other`.
    """
    if "#" in template:
        raise _invalid("a URL cannot have a fragment", template)
    parts = _ABSOLUTE.fullmatch(template)
    if parts is None:
        raise _invalid("not an absolute URL", template)
    authority, path, own_query = parts.groups()
    if "{" in authority or "}" in authority:
        raise _invalid("a placeholder in the host", template)
    used: set[str] = set()
    url = authority + "/".join(_segment(segment, values, used, template) for segment in path.split("/"))
    if own_query is not None:
        url += _substitute(own_query, values, used, template)[0]
    for name in values:
        if name not in used:
            raise _invalid(f"no placeholder `{{{name}}}` in the URL", template)
    if query:
        url += ("?" if own_query is None else "&") + encode_pairs(query)
    return url


def _segment(segment: str, values: Mapping[str, str], used: set[str], template: str) -> str:
    filled, names = _substitute(segment, values, used, template)
    for name in names:
        if values[name] == "":
            raise _bad_value(name, "it is empty")
        if filled.strip(".") == "":
            raise _bad_value(name, "it consists of dots")
    return filled


def _substitute(text: str, values: Mapping[str, str], used: set[str], template: str) -> tuple[str, list[str]]:
    names: list[str] = []

    def fill(found: re.Match[str]) -> str:
        name, end = found.groups()
        if not end:
            raise _invalid("a `{` without its `}`", template)
        if name not in values:
            raise _invalid(f"no value for `{{{name}}}`", template)
        names.append(name)
        used.add(name)
        return encode(values[name])

    return _PLACEHOLDER.sub(fill, text), names


def _bad_value(name: str, reason: str) -> Rejected:
    return Rejected(f"the value of `{name}` cannot be part of a URL: {reason}")


def _invalid(reason: str, template: str) -> Other:
    # The template is the author's own text and holds no value; a key may stand in its query, which is left out.
    return Other("invalid-request", f"not a valid request: {reason}: {excerpt(template.split('?')[0])}")
