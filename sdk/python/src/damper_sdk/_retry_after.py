"""Retry-After (RFC 9110, section 10.2.3): seconds, or a date. And the reset of rate headers: seconds, or a Unix time."""

import re
from collections.abc import Callable
from datetime import datetime, timezone

_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# IMF-fixdate, the one form that is to be sent.
_DATE = re.compile(r"[A-Z][a-z]{2}, ([0-9]{2}) ([A-Z][a-z]{2}) ([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) GMT")
# More digits than fit are a very long wait, not none.
_LONGEST_SECONDS = float(2**53 // 1000)
# From here on a reset is no number of seconds from now, which would be thirty years of them, but a Unix time.
_UNIX_TIMES = 1e9


def parse(value: str, date: str | None, now: Callable[[], float]) -> float | None:
    """Seconds to wait, or None.

    A date is measured from the answer's own Date where it has one, so that neither side's clock needs to be right; `now` is
    asked only where it has none. A date that is past means no wait.
    """
    text = value.strip()
    wait = _parse_seconds(text)
    if wait is not None:
        return wait
    until = _parse_date(text)
    return None if until is None else max(0.0, until - _start(date, now))


def reset(value: str, date: str | None, now: Callable[[], float]) -> float | None:
    """Seconds until a rate header's reset, measured as above where it is a time, or None."""
    wait = _parse_seconds(value.strip())
    if wait is None or wait < _UNIX_TIMES:
        return wait
    return None if wait >= _LONGEST_SECONDS else max(0.0, wait - _start(date, now))


def _parse_seconds(text: str) -> float | None:
    # With a fraction it is against the RFC, but seen in the field.
    return min(float(text), _LONGEST_SECONDS) if _SECONDS.fullmatch(text) else None


def _start(date: str | None, now: Callable[[], float]) -> float:
    start = None if date is None else _parse_date(date.strip())
    return now() if start is None else start


def _parse_date(text: str) -> float | None:
    parts = _DATE.fullmatch(text)
    if parts is None or parts[2] not in _MONTHS:
        return None
    month = _MONTHS.index(parts[2]) + 1
    day, year, hour, minute, second = (int(parts[group]) for group in (1, 3, 4, 5, 6))
    try:
        # A leap second is as good as the one before it.
        return datetime(year, month, day, hour, minute, min(second, 59), tzinfo=timezone.utc).timestamp()
    except ValueError:
        return None
