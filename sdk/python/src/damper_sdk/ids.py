"""Stable ids: the same text gives the same id, in each attempt and each language. For an idempotency key, or a record without an id.

`random` and `uuid.uuid4` give another one in each attempt, and the API would take the retry for another order.
"""

# At the top, so that it is in the component: `uuid` and `hmac` import it as late as in a call.
import hashlib
import re

from ._text import excerpt
from .failures import Other

__all__ = ["NAMESPACE_DNS", "NAMESPACE_OID", "NAMESPACE_URL", "sha256_hex", "uuid_v5"]

#: Namespaces of RFC 9562, section 6.6.
NAMESPACE_DNS = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
NAMESPACE_URL = "6ba7b811-9dad-11d1-80b4-00c04fd430c8"
NAMESPACE_OID = "6ba7b812-9dad-11d1-80b4-00c04fd430c8"

_UUID = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def uuid_v5(namespace: str, name: str) -> str:
    """The UUID of a name in a namespace, which is a UUID itself (RFC 9562, version 5, by SHA-1); `Other` where it is none."""
    if _UUID.fullmatch(namespace) is None:
        raise Other("invalid-namespace", f"the namespace `{excerpt(namespace)}` is not a UUID, such as {NAMESPACE_URL}")
    data = bytes.fromhex(namespace.replace("-", "")) + name.encode("utf-8")
    digest = bytearray(hashlib.sha1(data, usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def sha256_hex(value: str | bytes) -> str:
    """SHA-256 (FIPS 180-4) of text in UTF-8 or of bytes, in lower-case hexadecimal."""
    return hashlib.sha256(value.encode("utf-8") if isinstance(value, str) else value).hexdigest()
