"""Text from outside made fit for a message: short, on one line, without control characters."""

import re

# The most characters of foreign text that a message carries.
_EXCERPT_CHARS = 160
# How much of a body is looked at.
_HEAD_BYTES = 1024
_BREAKS = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
# Characters that turn the direction of what follows them, or hide: they could disguise a line of a log.
_DISGUISES = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


def excerpt(text: str) -> str:
    """The beginning of a text on one line; "" where nothing readable is left."""
    words = (_DISGUISES.sub("", word) for word in _BREAKS.split(text))
    line = " ".join(word for word in words if word)
    return line[:_EXCERPT_CHARS] + "…" if len(line) > _EXCERPT_CHARS else line


def body_excerpt(body: bytes) -> str:
    """The beginning of a body, if it is text that a person would read: no markup, nothing binary. Else ""."""
    head = body[:_HEAD_BYTES]
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        # Only the beginning is looked at, so the cut may fall inside a character.
        if error.reason != "unexpected end of data":
            return ""
        text = head[: error.start].decode("utf-8")
    return "" if text.lstrip().startswith("<") else excerpt(text)
