"""Why there is no record: one exception a kind of the contract. Raising one ends the call with it."""

from ._durations import check_seconds


class Failure(Exception):
    """Why there is no record; raise one of the classes below, which name the kinds."""

    kind: str = "other"

    def __init__(
        self, message: str, *, retry_after: float | None = None, status: int | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        #: How long the API asked to be left alone, in seconds from now.
        self.retry_after = None if retry_after is None else check_seconds("retry_after", retry_after)
        #: The HTTP status that led here.
        self.status = status


class Throttled(Failure):
    """The API asks for fewer requests. No attempt is spent; everything to this API waits."""

    kind = "throttled"


class Unavailable(Failure):
    """The API does not work. Retried; an attempt is spent only where other items succeed at the same time."""

    kind = "unavailable"


class TimedOut(Failure):
    """The API did not answer in time. Treated like `Unavailable`."""

    kind = "timed-out"


class Unauthorized(Failure):
    """The API does not accept the credential. The provider stops until an operator has seen to it."""

    kind = "unauthorized"


class NotFound(Failure):
    """The API has no such record. Final."""

    kind = "not-found"


class Rejected(Failure):
    """The request cannot succeed, now or later: for instance an id of the wrong shape. Final."""

    kind = "rejected"


class Malformed(Failure):
    """The answer cannot be read. Retried a few times."""

    kind = "malformed"


class NotReady(Failure):
    """The API has taken the order, and the record is not ready yet. No attempt is spent.

    The item is asked for again after `retry_after` seconds, and that call gets `resume`, text or bytes, at most 4 KiB: the
    order's number, for instance.
    """

    kind = "not-ready"

    def __init__(
        self,
        message: str,
        *,
        resume: str | bytes = b"",
        retry_after: float | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message, retry_after=retry_after, status=status)
        self.resume = resume.encode("utf-8") if isinstance(resume, str) else bytes(resume)


class Other(Failure):
    """Anything else, by a name of your own. Treated like `Malformed`."""

    def __init__(
        self, name: str, message: str, *, retry_after: float | None = None, status: int | None = None
    ) -> None:
        super().__init__(message, retry_after=retry_after, status=status)
        self.kind = name
