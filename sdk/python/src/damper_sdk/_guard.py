"""Lets a scripted call see what it sees in a component: UTC, and no files, sockets, programs, threads, sleeps or late
imports.

What works natively and fails only in a component fails here, with the same error. This is a help and no sandbox.
"""

import builtins
import codecs
import encodings
import hashlib
import hmac
import importlib.util
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from ._bundled import modules_of
from ._instead import ASYNC, NEVER, SOCKETS, hint, refuse_sleep
from ._preloaded import MODULES

# The thread whose call is guarded; 0 for none. Other threads, such as a debugger's, are not concerned.
_guarded_thread = 0
_has_audit_hook = False
# The hashes of a component's hashlib.
_HASHES = frozenset(
    (
        "blake2b", "blake2s", "md5", "sha1", "sha224", "sha256", "sha384", "sha512",
        "sha3_224", "sha3_256", "sha3_384", "sha3_512", "shake_128", "shake_256",
    )
)  # fmt: skip
# Functions of hashlib and `os` that a component does not have; those of `os` by their audit events.
_MISSING_OF_HASHLIB = ("pbkdf2_hmac", "scrypt")
_MISSING_OF_OS = frozenset(("os.system", "os.fork", "os.forkpty", "os.kill", "os.posix_spawn"))
# What reads source files to show an error, which works without them in a component.
_READERS_OF_SOURCE = frozenset(("linecache", "tokenize", "traceback", "warnings"))


class Trap(RuntimeError):
    """What ends a component at once, so that no `except` in the provider sees it."""


@contextmanager
def as_in_a_component(author: Callable[[], str], on_trap: Callable[[Trap], None]) -> Iterator[None]:
    """Guards this thread. `author` names the provider's module, for an import of a module that natively is there."""
    global _guarded_thread, _has_audit_hook
    if not _has_audit_hook:
        # For good: a hook cannot be removed.
        sys.addaudithook(lambda event, arguments: _on_event(event, arguments))
        _has_audit_hook = True
    with ExitStack() as stack:
        if not _is_guarded():
            for guard in (_patches(), _codecs_of(author), _environment(), _imports(author)):
                stack.enter_context(guard)
        before, _guarded_thread = _guarded_thread, threading.get_ident()
        _traps.append(on_trap)
        try:
            yield
        except BaseException as error:
            _guarded_thread = before
            told = hint(error)
            if told is not None:
                error.add_note(told)
            raise
        finally:
            _guarded_thread = before
            _traps.pop()


_traps: list[Callable[[Trap], None]] = []


def _is_guarded() -> bool:
    return _guarded_thread == threading.get_ident()


def _trap(message: str) -> Trap:
    trap = Trap(message)
    _traps[-1](trap)
    return trap


def _on_event(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuses what a component has no means for, however it is called."""
    if not _guarded_thread or not _is_guarded():
        return
    if event.startswith("socket.") and event != "socket.gethostname":
        raise _trap(SOCKETS)
    if event == "time.sleep":
        refuse_sleep()
    if event == "open" and not isinstance(arguments[0], int) and not _is_reading_source():
        raise FileNotFoundError(2, "No such file or directory", arguments[0])
    if event in ("os.listdir", "os.scandir", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.chdir"):
        raise FileNotFoundError(2, "No such file or directory", arguments[0])
    if event in _MISSING_OF_OS:
        raise AttributeError(f"module 'os' has no attribute '{event.removeprefix('os.')}'")
    if event in ("subprocess.Popen", "os.exec"):
        raise OSError(58, "wasi does not support processes.")


def _is_reading_source() -> bool:
    frame = sys._getframe()
    while frame is not None:
        if frame.f_globals.get("__name__") in _READERS_OF_SOURCE:
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


@contextmanager
def _patches() -> Iterator[None]:
    """Replaces what is missing or fails in a component."""
    with ExitStack() as stack:

        def replace(owner: Any, name: str, value: Any) -> None:
            before = getattr(owner, name)
            stack.callback(setattr, owner, name, before)
            setattr(owner, name, value)

        sleep = _instead_of(time.sleep, refuse_sleep)
        provider = sys.modules.get("provider")
        # What `from time import sleep` bound.
        for name, value in list(vars(provider).items()) if provider else []:
            if value is time.sleep:
                replace(provider, name, sleep)
        replace(time, "sleep", sleep)
        replace(threading.Thread, "start", _instead_of(threading.Thread.start, _refuse_thread))
        zones = sys.modules.get("zoneinfo")
        if zones is not None:
            stack.callback(zones.reset_tzpath, zones.TZPATH)
            zones.reset_tzpath(())
        for name in ("asyncio", "asyncio.events"):
            # Before it has half an event loop.
            if name in sys.modules:
                loops = sys.modules[name]
                replace(loops, "new_event_loop", _instead_of(loops.new_event_loop, _refuse_event_loop))
        replace(hashlib, "new", _checked(hashlib.new, 0, "name"))
        replace(hmac, "new", _checked(hmac.new, 2, "digestmod"))
        replace(hmac, "digest", _checked(hmac.digest, 2, "digest"))
        for name in _MISSING_OF_HASHLIB:
            if hasattr(hashlib, name):
                stack.callback(setattr, hashlib, name, getattr(hashlib, name))
                delattr(hashlib, name)
        yield


def _instead_of(original: Callable[..., Any], refuse: Callable[..., Any]) -> Callable[..., Any]:
    """`refuse` in the guarded thread, and the original in others."""
    return lambda *arguments: (refuse if _is_guarded() else original)(*arguments)


def _refuse_thread(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def _refuse_event_loop() -> None:
    raise _trap(f"{ASYNC}; an event loop needs sockets, which a component does not have")


def _checked(function: Callable[..., Any], position: int, keyword: str) -> Callable[..., Any]:
    """A function of hashlib or hmac that knows the hashes of a component alone."""

    def check(*arguments: Any, **options: Any) -> Any:
        name = options.get(keyword, arguments[position] if len(arguments) > position else "")
        if isinstance(name, str) and name and name.lower() not in _HASHES:
            raise ValueError(f"unsupported hash type {name}")
        return function(*arguments, **options)

    return check


@contextmanager
def _environment() -> Iterator[None]:
    """No variables, and UTC as local time."""
    data, zone = os.environ._data, os.environ.get("TZ")  # type: ignore[attr-defined]
    os.environ._data = {}  # type: ignore[attr-defined]
    _set_zone("UTC")
    try:
        yield
    finally:
        os.environ._data = data  # type: ignore[attr-defined]
        _set_zone(zone)


def _set_zone(zone: str | None) -> None:
    if not hasattr(time, "tzset"):
        return
    if zone is None:
        os.unsetenv("TZ")
    else:
        os.putenv("TZ", zone)
    time.tzset()


@contextmanager
def _codecs_of(author: Callable[[], str]) -> Iterator[None]:
    """Only the text encodings that a component has, also where another was used before."""

    def search(name: str) -> codecs.CodecInfo | None:
        if _is_guarded() and not _has_codec(name, author):
            return None
        return encodings.search_function(name)

    # This forgets the codecs that were looked up.
    codecs.unregister(encodings.search_function)
    codecs.register(search)
    try:
        yield
    finally:
        codecs.unregister(search)
        codecs.register(encodings.search_function)


def _has_codec(name: str, author: Callable[[], str]) -> bool:
    module = encodings.normalize_encoding(name)
    module = encodings.aliases.aliases.get(module.lower(), module)
    names = [f"encodings.{module}", f"encodings.{module.lower()}"]
    return any(name in sys.modules and _is_bundled(name, author) for name in names)


def _is_bundled(name: str, author: Callable[[], str]) -> bool:
    """Whether a component has a module that is loaded here."""
    global _guarded_thread
    if name in MODULES or name in sys.builtin_module_names or name.partition(".")[0] == "damper_sdk":
        return True
    before, _guarded_thread = _guarded_thread, 0
    try:
        names = modules_of(author())
    finally:
        _guarded_thread = before
    return names is None or name in names


class _NoFiles:
    """A finder, before all others, that finds nothing."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if _is_guarded():
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


@contextmanager
def _imports(author: Callable[[], str]) -> Iterator[None]:
    """Refuses the import of a module that a component does not hold, also where a test has loaded it."""
    original = builtins.__import__

    def is_missing(name: str) -> bool:
        return name in NEVER or (name in sys.modules and not _is_bundled(name, author))

    def guarded(
        name: str,
        globals: Any = None,  # noqa: A002 - the names of `__import__`
        locals: Any = None,  # noqa: A002
        fromlist: Any = (),
        level: int = 0,
    ) -> ModuleType:
        if _is_guarded():
            package = (globals or {}).get("__package__")
            absolute = importlib.util.resolve_name("." * level + name, package) if level else name
            if is_missing(absolute):
                raise ModuleNotFoundError(f"No module named {absolute!r}", name=absolute)
            for each in fromlist or ():
                if is_missing(f"{absolute}.{each}"):
                    raise ImportError(f"cannot import name {each!r} from {absolute!r}", name=absolute)
        return original(name, globals, locals, fromlist, level)

    builtins.__import__ = guarded
    sys.meta_path.insert(0, _NoFiles)
    try:
        yield
    finally:
        sys.meta_path.remove(_NoFiles)
        builtins.__import__ = original
