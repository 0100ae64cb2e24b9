"""The item to fetch, and a record as the API gave it."""

import json as _json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from .failures import Malformed, Rejected
from .response import Response

_JSON = "application/json"


@dataclass(frozen=True)
class FetchRequest:
    """One record to fetch. The host makes the real ones; the defaults are for tests."""

    #: The record's identifier in the API's terms, at most 512 bytes. It comes from outside: `path` and `query` quote it.
    id: str
    #: Further parameters of the item.
    params: Mapping[str, str] = field(default_factory=dict)
    #: Which attempt at this item this is; the first is 1.
    attempt: int = 1
    #: The provider's day, `YYYY-MM-DD`.
    day: str = "2026-01-01"
    #: How long the call may take from its beginning, in seconds; after that the host ends it.
    deadline: float = 30.0
    #: The bytes that this item's last call raised `NotReady` with; None where no call did.
    resume: bytes | None = None
    #: Fields that later versions of the contract add; unknown names are to be ignored.
    extras: Mapping[str, str] = field(default_factory=dict)

    def param(self, name: str) -> str | None:
        """A parameter of the item, if it has it."""
        return self.params.get(name)

    def required_param(self, name: str) -> str:
        """A parameter without which the record cannot be fetched; `Rejected` where the item lacks it."""
        if name not in self.params:
            raise Rejected(f"the item has no parameter `{name}`")
        return self.params[name]


@dataclass(frozen=True)
class Record:
    """A record: a body with its media type, and small facts beside it."""

    #: The body's media type: JSON is stored as JSON, other text as text, anything else in base64.
    content_type: str
    body: bytes
    attributes: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, answer: Response) -> Self:
        """A JSON answer as it came, byte for byte, once it is sure that it is JSON; else `Malformed`."""
        answer.json()
        given = answer.header("content-type")
        return cls(given if given is not None and _is_json(given) else _JSON, answer.body)

    @classmethod
    def from_value(cls, value: Any) -> Self:
        """A value of one's own, as JSON: for a record put together from several answers, or a part of one."""
        try:
            text = _json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise Malformed(f"the record has no form in JSON: {error}") from None
        return cls(_JSON, text.encode("utf-8"))

    @classmethod
    def raw(cls, answer: Response) -> Self:
        """An answer as it came, with its own content type and unread."""
        return cls(answer.header("content-type") or "application/octet-stream", answer.body)

    @classmethod
    def text(cls, text: str) -> Self:
        """Plain text."""
        return cls("text/plain; charset=utf-8", text.encode("utf-8"))

    def with_attribute(self, name: str, value: str) -> Self:
        """The same record with a small fact to store beside the body: a revision, a date."""
        return replace(self, attributes={**self.attributes, name: value})


def _is_json(content_type: str) -> bool:
    """Whether a content type is JSON: `application/json`, `text/json`, or a suffix `+json` (RFC 6839)."""
    essence = content_type.split(";")[0].strip().lower()
    return essence in (_JSON, "text/json") or essence.endswith("+json")
