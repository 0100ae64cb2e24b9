"""Text from outside: decoded from bytes, and made fit for a message."""

from ._encodings import charset_of, decode_as
from ._text import excerpt

__all__ = ["decode", "short"]


def decode(data: bytes, content_type: str | None = None) -> str:
    """The text of a body: by its byte order mark, else by the `charset` of its content type, else as UTF-8.

    UTF-8, UTF-16, ISO-8859-1, -2, -9 and -15, and windows-1250, -1251, -1252 and -1254 are read. `Malformed` where the bytes are
    not in that encoding, or it is another.
    """
    return decode_as(charset_of(content_type) or "utf-8", data)


def short(text: str) -> str:
    """The beginning of a text, at most 160 characters of it, on one line and without what could disguise it.

    For what an API says and what an item holds, before it becomes part of a message or a line of the log.
    """
    return excerpt(text)
