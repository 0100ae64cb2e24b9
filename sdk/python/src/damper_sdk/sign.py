"""Signatures with a secret that stays in the host; the credential is one of kind `hmac` in provider.toml."""

from base64 import b64encode, urlsafe_b64encode

from ._backend import SignRefused, backend
from .failures import Other, Unauthorized


class Signature(bytes):
    """A signature's bytes, and the ways in which APIs want them written; `hex` is that of bytes."""

    def base64(self) -> str:
        """In base64 with padding."""
        return b64encode(self).decode("ascii")

    def base64_url(self) -> str:
        """In base64url without padding."""
        return urlsafe_b64encode(self).decode("ascii").rstrip("=")


def hmac_sha256(credential: str, payload: str | bytes) -> Signature:
    """Signs with HMAC-SHA-256; `Other("config")` without such a credential, `Unauthorized` where it has no secret."""
    return _sign(credential, "hmac-sha256", payload)


def hmac_sha512(credential: str, payload: str | bytes) -> Signature:
    """Signs with HMAC-SHA-512; raises as `hmac_sha256`."""
    return _sign(credential, "hmac-sha512", payload)


def _sign(credential: str, algorithm: str, payload: str | bytes) -> Signature:
    payload = payload.encode("utf-8") if isinstance(payload, str) else payload
    try:
        return Signature(backend().sign(credential, algorithm, payload))
    except SignRefused as refused:
        if str(refused) == "no-secret":
            raise Unauthorized(
                f"no secret is bound to the credential `{credential}`; bind one in damper.toml"
            ) from None
        raise Other("config", f"provider.toml has no credential `{credential}` of kind hmac") from None
