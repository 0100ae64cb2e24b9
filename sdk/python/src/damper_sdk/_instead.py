"""What to use in place of what CPython has natively and not in a component."""

import re

from ._text import excerpt

SLEEP = "a provider never sleeps: raise Throttled or Unavailable with retry_after, or NotReady, and Damper calls again"
ASYNC = "fetch_record is async; the host waits for it, so async gains nothing: make it plain"
SOCKETS = "a component has no sockets: send requests with damper_sdk.http"
FILES = "a component has no files: put data into a module in src, and import it at the top of the file"
PROCESSES = "a component runs no other program"
THREADS = "a component has one thread: send requests side by side with http.send_all"
HASHES = "a component has hashlib's sha1, sha2, sha3, md5, blake2 and shake; damper_sdk.sign signs"
ENVIRONMENT = "a component has no environment: settings are in damper_sdk.config, and secrets stay in the host"
ZONES = (
    "a component has no time zones: use datetime.timezone with an offset, or put the package tzdata into src and make "
    "the zone at the top of the file"
)

# Modules of the standard library that no import brings into a component.
NEVER = {
    "ssl": SOCKETS,
    "multiprocessing": THREADS,
    "sqlite3": "damper_sdk.cache keeps small values between calls",
    "ctypes": "use pure Python",
    "bz2": "ask the API for gzip, or for nothing compressed",
    "lzma": "ask the API for gzip, or for nothing compressed",
    "mmap": FILES,
    "fcntl": FILES,
    "pwd": "a component knows no machine",
    "grp": "a component knows no machine",
    "resource": "the limits are in provider.toml",
    "readline": "a component has no terminal",
    "termios": "a component has no terminal",
    "curses": "a component has no terminal",
    "tkinter": "a component has no screen",
}
_ENCODING = re.compile(r"unknown encoding: (.+)")
_HASH_FUNCTION = re.compile(r"module 'hashlib' has no attribute '(\w+)'")
_PROGRAM = re.compile(r"module 'os' has no attribute '(system|fork|kill|posix_spawn\w*|forkpty|wait\w*)'")


def hint(error: BaseException) -> str | None:
    """What to do about an error of a component's Python, if it comes from something that a component does not have."""
    if isinstance(error, ImportError):
        return _of_import(error)
    message = str(error)
    if isinstance(error, LookupError):
        return _of_lookup(error, message)
    if isinstance(error, ValueError) and message.startswith("unsupported hash type"):
        return HASHES
    if isinstance(error, AttributeError):
        if _HASH_FUNCTION.match(message):
            return HASHES
        return PROCESSES if _PROGRAM.match(message) else None
    if isinstance(error, RuntimeError) and message == "can't start new thread":
        return THREADS
    if isinstance(error, OSError):
        return _of_system(error, message)
    return None


def missing_module(name: str) -> str:
    """What to do about a module that a call imports, and that is not there."""
    name = excerpt(name)
    if name in NEVER:
        return f"a component has no {name}: {NEVER[name]}"
    return f"a component has no files while it is called: import {name} at the top of the file"


def _of_import(error: ImportError) -> str | None:
    if error.name == "importlib" and "resources" in str(error):
        # What zoneinfo ends with.
        return ZONES
    found = re.match(r"cannot import name '(\w+)' from '([\w.]+)'", str(error))
    if found is not None:
        return missing_module(f"{found[2]}.{found[1]}")
    return missing_module(error.name) if error.name else None


def _of_lookup(error: LookupError, message: str) -> str | None:
    if type(error).__name__ == "ZoneInfoNotFoundError":
        return ZONES
    found = _ENCODING.match(message)
    if found is not None:
        name = excerpt(found[1].strip().lower().replace("-", "_"))
        return (
            "a component has the text encodings that were imported while it was built: decode with "
            f"damper_sdk.text.decode, or import encodings.{name} at the top of the file"
        )
    return None


def _of_system(error: OSError, message: str) -> str | None:
    if "does not support processes" in message:
        return PROCESSES
    if "unknown url type: https" in message:
        return SOCKETS
    return FILES if isinstance(error, FileNotFoundError) else None


def refuse_sleep(_: object = 0) -> None:
    """In place of `time.sleep`, which would hold the call, its memory and a slot of the API."""
    raise RuntimeError(SLEEP)
