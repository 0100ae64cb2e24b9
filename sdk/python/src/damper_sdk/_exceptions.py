"""Describes an exception that a provider did not handle, for the failure of its call: type, message, file and line.

`traceback` is not used: it is not imported in a component, and would look for source files that are not there.
"""

import re
from types import TracebackType

from ._instead import hint as hint_of
from ._text import excerpt

# A component has the folders of its modules as /0, /1, /2; the author's is `src`.
_MODULE = re.compile(r"/[0-9]+/(?P<path>.+)")
# Modules there that are not the author's.
_OURS = ("damper_sdk/", "damper_entry.py")
# How many calls are named; a deep recursion has thousands.
_FRAMES = 4


def describe(error: BaseException) -> str:
    """`KeyError: 'data' at src/provider.py:7 in helper, called at src/provider.py:12 in fetch_record`."""
    message = excerpt(str(error))
    text = type(error).__name__ + (f": {message}" if message else "")
    frames = _author_frames(error.__traceback__)
    if frames:
        text += f" at {', called at '.join(frames[:_FRAMES])}"
    hint = hint_of(error)
    return f"{text}; {hint}" if hint else text


def _author_frames(trace: TracebackType | None) -> list[str]:
    """The author's lines on the way to an error, the innermost first."""
    frames: list[str] = []
    while trace is not None:
        code = trace.tb_frame.f_code
        found = _MODULE.fullmatch(code.co_filename)
        if found is not None and not found["path"].startswith(_OURS):
            frames.append(f"src/{found['path']}:{trace.tb_lineno} in {code.co_name}")
        trace = trace.tb_next
    return frames[::-1]
