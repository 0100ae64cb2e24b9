"""Tries what Python's standard library offers beyond the contract; the id says what. The record is the result of the attempt."""

import encodings.idna  # noqa: F401 - the resolver asks for it, and a call finds no file to import
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from damper_sdk import FetchRequest, Record, Rejected


def resolve() -> str:
    return repr(socket.getaddrinfo("localhost", 80))


def connect() -> str:
    return repr(socket.create_connection(("127.0.0.1", 80), timeout=1))


def connect_plainly() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as plain:
        return repr(plain.connect_ex(("127.0.0.1", 80)))


def datagram() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
        return repr(plain.sendto(b"x", ("127.0.0.1", 53)))


def listen() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as plain:
        plain.bind(("127.0.0.1", 0))
        plain.listen()
        return repr(plain.getsockname())


def run_program() -> str:
    return repr(os.execv("/bin/sh", ["sh"]))


def two_memories() -> str:
    return str(len(bytearray(512 << 20)))


ATTEMPTS: dict[str, Callable[[], str]] = {
    "resolve": resolve,
    "connect": connect,
    "connect-plainly": connect_plainly,
    "datagram": datagram,
    "listen": listen,
    "read": lambda: Path("/etc/passwd").read_text(),
    "write": lambda: str(Path("/tmp/damper-was-here").write_text("x")),
    "list": lambda: repr(os.listdir("/")),
    "environment": lambda: repr(dict(os.environ)),
    "arguments": lambda: repr(sys.argv),
    "run": run_program,
    "memory": two_memories,
}


def fetch_record(request: FetchRequest) -> Record:
    """Makes one attempt."""
    attempt = ATTEMPTS.get(request.id)
    if attempt is None:
        raise Rejected("no such attempt")
    try:
        return Record.text(attempt())
    except (OSError, MemoryError, AttributeError) as error:
        raise Rejected(f"refused: {type(error).__name__}") from None
