"""Knows which modules a component holds: those that the author's module and the SDK import while they are loaded."""

import subprocess
import sys
from functools import cache

# Loads the author's module in an interpreter of its own, as `damper build` does, and tells what is loaded then.
_PROBE = """
import sys
sys.path[:] = sys.argv[2:]
import damper_sdk, damper_sdk._preloaded
import importlib
importlib.import_module(sys.argv[1])
print("\\nloaded:", *sys.modules, sep="\\n")
"""
_PATIENCE_SECONDS = 60


@cache
def modules_of(author: str) -> frozenset[str] | None:
    """The names of the modules that are there once this module is loaded; None if it cannot be loaded by itself."""
    command = [sys.executable, "-c", _PROBE, author, *sys.path]
    probe = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_SECONDS, check=False)
    _, found, names = probe.stdout.rpartition("\nloaded:\n")
    return frozenset(names.split()) if probe.returncode == 0 and found else None
