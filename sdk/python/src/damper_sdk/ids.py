"""Stable ids: the same name gives the same id. In plain Python: a component's engine may lack `hashlib`."""

from math import isqrt

#: The namespace of RFC 9562 for names that are URLs.
URL_NAMESPACE = "6ba7b811-9dad-11d1-80b4-00c04fd430c8"

_MASK = 0xFFFFFFFF


def uuid_v5(namespace: str, name: str | bytes) -> str:
    """The UUID of version 5 (RFC 9562, section 5.5) of a name in a namespace, in lower case with hyphens."""
    digest = bytearray(_sha1(bytes.fromhex(namespace.replace("-", "")) + _bytes_of(name))[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def sha256_hex(value: str | bytes) -> str:
    """The SHA-256 of text or bytes, in lower-case hexadecimal."""
    return _sha256(_bytes_of(value)).hex()


def _bytes_of(value: str | bytes) -> bytes:
    return value.encode("utf-8") if isinstance(value, str) else bytes(value)


def _left(word: int, by: int) -> int:
    return (word << by | word >> (32 - by)) & _MASK


def _right(word: int, by: int) -> int:
    return _left(word, 32 - by)


def _blocks(message: bytes) -> list[list[int]]:
    """The message, padded as both digests want it: blocks of sixteen words."""
    padding = b"\x80" + bytes((55 - len(message)) % 64)
    padded = message + padding + (len(message) * 8).to_bytes(8, "big")
    words = [int.from_bytes(padded[at : at + 4], "big") for at in range(0, len(padded), 4)]
    return [words[at : at + 16] for at in range(0, len(words), 16)]


def _sha1(message: bytes) -> bytes:
    """FIPS 180-4, section 6.1."""
    state = [0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0]
    for words in _blocks(message):
        for t in range(16, 80):
            words.append(_left(words[t - 3] ^ words[t - 8] ^ words[t - 14] ^ words[t - 16], 1))
        a, b, c, d, e = state
        for t, word in enumerate(words):
            if t < 20:
                mixed, constant = b & c | ~b & d, 0x5A827999
            elif t < 40:
                mixed, constant = b ^ c ^ d, 0x6ED9EBA1
            elif t < 60:
                mixed, constant = b & c | b & d | c & d, 0x8F1BBCDC
            else:
                mixed, constant = b ^ c ^ d, 0xCA62C1D6
            a, b, c, d, e = (_left(a, 5) + mixed + e + constant + word) & _MASK, a, _left(b, 30), c, d
        state = [(one + other) & _MASK for one, other in zip(state, (a, b, c, d, e))]
    return b"".join(word.to_bytes(4, "big") for word in state)


def _primes(count: int) -> list[int]:
    found: list[int] = []
    candidate = 2
    while len(found) < count:
        if all(candidate % prime for prime in found):
            found.append(candidate)
        candidate += 1
    return found


def _cube_root(number: int) -> int:
    low, high = 0, 1 << (number.bit_length() // 3 + 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**3 <= number else (low, middle - 1)
    return low


# The first 32 bits of the fractional parts of the primes' square and cube roots: FIPS 180-4, section 4.2.2.
_FIRST = [isqrt(prime << 64) & _MASK for prime in _primes(8)]
_ROUND = [_cube_root(prime << 96) & _MASK for prime in _primes(64)]


def _sha256(message: bytes) -> bytes:
    """FIPS 180-4, section 6.2."""
    state = list(_FIRST)
    for words in _blocks(message):
        for t in range(16, 64):
            early, late = words[t - 15], words[t - 2]
            first = _right(early, 7) ^ _right(early, 18) ^ early >> 3
            second = _right(late, 17) ^ _right(late, 19) ^ late >> 10
            words.append((words[t - 16] + first + words[t - 7] + second) & _MASK)
        a, b, c, d, e, f, g, h = state
        for word, constant in zip(words, _ROUND):
            rotated = _right(e, 6) ^ _right(e, 11) ^ _right(e, 25)
            first = h + rotated + (e & f ^ ~e & g) + constant + word
            second = (_right(a, 2) ^ _right(a, 13) ^ _right(a, 22)) + (a & b ^ a & c ^ b & c)
            a, b, c, d, e, f, g, h = (first + second) & _MASK, a, b, c, (d + first) & _MASK, e, f, g
        state = [(one + other) & _MASK for one, other in zip(state, (a, b, c, d, e, f, g, h))]
    return b"".join(word.to_bytes(4, "big") for word in state)
