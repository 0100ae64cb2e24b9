"""APIs that take an order first, and have its record later.

`fetch` places the order and remembers it as the item's resume state. It is called again when the API said, perhaps in
another process, and polls the order until its record is ready. An order that the API has forgotten is placed once more.

    def fetch_record(request: FetchRequest) -> Record:
        def place(key: str) -> two_step.Ordered:
            answer = http.post(ORDERS).header("Idempotency-Key", key).json({"policy": request.id}).send().ok()
            return two_step.Ordered(answer.json()["order"], answer.retry_after)

        def poll(order: str) -> Record | two_step.Pending | two_step.Forgotten:
            answer = http.get(ORDERS).join("{order}").path("order", order).send()
            if answer.status == 202:
                return two_step.Pending(answer.retry_after)
            if answer.status == 404:
                return two_step.Forgotten()
            return Record.json(answer.ok())

        return two_step.fetch(request, place, poll)
"""

import json as _json
from collections.abc import Callable
from dataclasses import dataclass

from . import ids
from .failures import Malformed, NotReady
from .record import FetchRequest, Record


@dataclass(frozen=True)
class Ordered:
    """The API has taken an order."""

    #: The text by which the API knows the order: its number, or the URL to poll. At most some 4,000 bytes.
    order: str
    #: When the API is to be asked, in seconds from now; None: Damper's backoff decides.
    retry_after: float | None = None


@dataclass(frozen=True)
class Pending:
    """The record of an order is not ready."""

    #: When the API is to be asked again, in seconds from now; None: Damper's backoff decides.
    retry_after: float | None = None


@dataclass(frozen=True)
class Forgotten:
    """The API does not know the order any more; it is placed once more. This says nothing about the record."""


def fetch(
    request: FetchRequest,
    place: Callable[[str], Record | Ordered],
    poll: Callable[[str], Record | Pending | Forgotten],
) -> Record:
    """Fetches the record of an item by an order.

    `place` is called with an idempotency key, and `poll` with the order that `place` returned. The key is the same for the
    same item and day, so that an API which honours it takes the order once, also if its answer was lost. Raises `NotReady`
    until the record is there; after a failure of `place` or `poll` the order is kept.
    """
    known = _order_of(request)
    forgotten = 0
    if known is not None:
        order, forgotten = known
        polled = poll(order)
        if isinstance(polled, Record):
            return polled
        if isinstance(polled, Pending):
            raise _not_ready(order, forgotten, polled.retry_after)
        if not isinstance(polled, Forgotten):
            raise TypeError(f"poll returned {type(polled).__name__}, and neither a Record, nor Pending, nor Forgotten")
        forgotten += 1
    placed = place(idempotency_key(request, forgotten))
    if isinstance(placed, Record):
        return placed
    if not isinstance(placed, Ordered):
        raise TypeError(f"place returned {type(placed).__name__}, and neither a Record nor Ordered")
    raise _not_ready(_order_text(placed.order), forgotten, placed.retry_after)


def idempotency_key(request: FetchRequest, forgotten: int = 0) -> str:
    """A key for `Idempotency-Key` and its like: a UUID made of the item's id and parameters, its day, and how often its
    order was forgotten. An API that has forgotten an order may still know its key."""
    parameters = sorted(request.params.items(), key=lambda pair: pair[0].encode("utf-8"))
    parts = ["damper order", request.id, *(part for pair in parameters for part in pair), request.day, str(forgotten)]
    return ids.uuid_v5(ids.NAMESPACE_URL, "".join(f"{len(part.encode('utf-8'))}:{part}," for part in parts))


def _order_text(order: object) -> str:
    """An order as a text. A field that is missing would be polled as "None"."""
    is_number = isinstance(order, int) and not isinstance(order, bool)
    if not is_number and not (isinstance(order, str) and order):
        raise Malformed("the API's answer to an order does not name the order")
    return str(order)


def _order_of(request: FetchRequest) -> tuple[str, int] | None:
    """The order of an item's earlier call, and how often it was forgotten; None where there is none that can be read."""
    try:
        state = _json.loads(request.resume or b"")
        order, forgotten = state["order"], state["forgotten"]
    except (ValueError, TypeError, KeyError):
        return None
    return (order, forgotten) if isinstance(order, str) and isinstance(forgotten, int) else None


def _not_ready(order: str, forgotten: int, retry_after: float | None) -> NotReady:
    resume = _json.dumps({"order": order, "forgotten": forgotten})
    return NotReady("the API has taken the order, and its record is not ready", resume=resume, retry_after=retry_after)
