"""Text from bytes in an encoding: UTF-8, UTF-16, and the common encodings of one byte a character.

A component has only the codecs that were imported while it was built, and Python's differ from what other languages read.
"""

import re

from ._text import excerpt
from .failures import Malformed

# The upper half of each encoding of one byte; what it leaves undefined is the control character of that number (WHATWG).
_UPPER_HALVES = {
    "windows-1250": (
        "€\u0081‚\u0083„…†‡\u0088‰Š‹ŚŤŽŹ\u0090‘’“”•–—\u0098™š›śťžź\u00a0ˇ˘Ł¤Ą¦§¨©Ş«¬\u00ad®Ż°±˛ł´µ¶·¸ąş»Ľ˝ľżŔ"
        "ÁÂĂÄĹĆÇČÉĘËĚÍÎĎĐŃŇÓÔŐÖ×ŘŮÚŰÜÝŢßŕáâăäĺćçčéęëěíîďđńňóôőö÷řůúűüýţ˙"
    ),
    "windows-1251": (
        "ЂЃ‚ѓ„…†‡€‰Љ‹ЊЌЋЏђ‘’“”•–—\u0098™љ›њќћџ\u00a0ЎўЈ¤Ґ¦§Ё©Є«¬\u00ad®Ї°±Ііґµ¶·ё№є»јЅѕїАБВГДЕЖЗИЙКЛМНОПРСТУФ"
        "ХЦЧШЩЪЫЬЭЮЯабвгдежзийклмнопрстуфхцчшщъыьэюя"
    ),
    "windows-1252": (
        "€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ\u00a0¡¢£¤¥¦§¨©ª«¬\u00ad®¯°±²³´µ¶·¸¹º»¼½¾¿À"
        "ÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖ×ØÙÚÛÜÝÞßàáâãäåæçèéêëìíîïðñòóôõö÷øùúûüýþÿ"
    ),
    "windows-1254": (
        "€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008d\u008e\u008f\u0090‘’“”•–—˜™š›œ\u009d\u009eŸ\u00a0¡¢£¤¥¦§¨©ª«¬\u00ad®¯°±²³´µ¶"
        "·¸¹º»¼½¾¿ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏĞÑÒÓÔÕÖ×ØÙÚÛÜİŞßàáâãäåæçèéêëìíîïğñòóôõö÷øùúûüışÿ"
    ),
    "iso-8859-2": (
        "\u0080\u0081\u0082\u0083\u0084\u0085\u0086\u0087\u0088\u0089\u008a\u008b\u008c\u008d\u008e\u008f"
        "\u0090\u0091\u0092\u0093\u0094\u0095\u0096\u0097\u0098\u0099\u009a\u009b\u009c\u009d\u009e\u009f"
        "\u00a0Ą˘Ł¤ĽŚ§¨ŠŞŤŹ\u00adŽŻ°ą˛ł´ľśˇ¸šşťź˝žżŔÁÂĂÄĹĆÇČÉĘËĚÍÎĎĐŃŇÓÔŐÖ×ŘŮÚŰÜÝŢßŕáâăäĺćçčéęëěíîďđńňóôőö÷řů"
        "úűüýţ˙"
    ),
    "iso-8859-15": (
        "\u0080\u0081\u0082\u0083\u0084\u0085\u0086\u0087\u0088\u0089\u008a\u008b\u008c\u008d\u008e\u008f"
        "\u0090\u0091\u0092\u0093\u0094\u0095\u0096\u0097\u0098\u0099\u009a\u009b\u009c\u009d\u009e\u009f"
        "\u00a0¡¢£€¥Š§š©ª«¬\u00ad®¯°±²³Žµ¶·ž¹º»ŒœŸ¿ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖ×ØÙÚÛÜÝÞßàáâãäåæçèéêëìíîïðñòóôõö÷øù"
        "úûüýþÿ"
    ),
}
# Other names of encodings (https://encoding.spec.whatwg.org/#names-and-labels): ISO-8859-1 and US-ASCII are windows-1252.
_LABELS = {
    "utf8": "utf-8", "unicode-1-1-utf-8": "utf-8", "utf-16le": "utf-16", "unicode": "utf-16",
    "iso-8859-1": "windows-1252", "iso8859-1": "windows-1252", "iso_8859-1": "windows-1252", "latin1": "windows-1252",
    "l1": "windows-1252", "us-ascii": "windows-1252", "ascii": "windows-1252", "cp1252": "windows-1252",
    "x-cp1252": "windows-1252", "cp1250": "windows-1250", "cp1251": "windows-1251", "cp1254": "windows-1254",
    "iso-8859-9": "windows-1254", "latin5": "windows-1254", "iso8859-2": "iso-8859-2", "latin2": "iso-8859-2",
    "iso8859-15": "iso-8859-15", "latin9": "iso-8859-15",
}  # fmt: skip
_CODECS = {"utf-8": "utf-8", "utf-16": "utf-16-le", "utf-16be": "utf-16-be"}
_CHARSET = re.compile(r';\s*charset\s*=\s*"?([^\s;"]+)', re.IGNORECASE)
_READ = f"UTF-8, UTF-16, ISO-8859-1, and {', '.join(_UPPER_HALVES)} are"


def marked_encoding(data: bytes) -> str | None:
    """The encoding that a byte order mark names."""
    if data.startswith(b"\xef\xbb\xbf"):
        return "utf-8"
    if data.startswith(b"\xff\xfe"):
        return "utf-16"
    return "utf-16be" if data.startswith(b"\xfe\xff") else None


def charset_of(content_type: str | None) -> str | None:
    """The `charset` of a content type."""
    found = _CHARSET.search(content_type or "")
    return None if found is None else found[1]


def decode_as(label: str, data: bytes) -> str:
    """The text of bytes, by byte order mark or label, without the mark; `Malformed` where they are not in that encoding."""
    name = label.strip().lower()
    encoding = marked_encoding(data) or _LABELS.get(name, name)
    if encoding in _UPPER_HALVES:
        upper = _UPPER_HALVES[encoding]
        return data.decode("latin-1").translate({0x80 + at: character for at, character in enumerate(upper)})
    if encoding not in _CODECS:
        raise Malformed(f"the encoding `{excerpt(label)}` is not read; {_READ}")
    try:
        return data.decode(_CODECS[encoding]).removeprefix("\ufeff")
    except UnicodeDecodeError:
        reason = "not UTF-8" if encoding == "utf-8" else f"not in the encoding {encoding}"
    raise Malformed(reason)
