"""The provider's log. Long lines are cut by the host, and each call has a cap on lines; `print` goes the same way."""

from ._backend import backend


def debug(message: object) -> None:
    """Writes a line for the author."""
    backend().log("debug", str(message))


def info(message: object) -> None:
    """Writes a line worth knowing."""
    backend().log("info", str(message))


def warn(message: object) -> None:
    """Writes a line on something odd."""
    backend().log("warn", str(message))


def error(message: object) -> None:
    """Writes a line on something wrong."""
    backend().log("error", str(message))
