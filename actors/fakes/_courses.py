"""The course of a stream: its pieces, spoilt as a fault wants it, and how it ends."""

from __future__ import annotations

import enum
from collections.abc import Callable

import msgspec

from ._plan import FaultKind
from ._replies import Reply, Stream


class End(enum.Enum):
    """What happens when all pieces are sent."""

    DONE = enum.auto()
    """The body is complete."""
    RESET = enum.auto()
    """The connection is reset."""
    CUT = enum.auto()
    """Half of the next piece is sent, and the connection closes."""
    SILENCE = enum.auto()
    """Nothing, until the client leaves."""
    PINGS = enum.auto()
    """Pings, until the client leaves."""


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """What one client of a stream gets."""

    pieces: tuple[bytes, ...]
    end: End = End.DONE
    rest: bytes = b""
    """The piece that is cut."""
    ping: bytes = b""
    delay: float = 0.0
    """Seconds before each piece."""
    limit: float = 0.0
    """Seconds after which silence and pings end with the connection."""


def course_of(stream: Stream, fault: FaultKind | None, after: int, refusal: Callable[[], Reply]) -> Course:
    """Let *stream* run as *fault* wants it, from the piece *after* so many on.

    Args:
        stream: As it would run.
        fault: None: it does.
        after: Pieces that come first; never those that say that the answer is complete.
        refusal: Makes the error that the stream tells.
    """
    most = len(stream.pieces) - max(1, stream.ending)
    at = min(after, max(0, most))
    begun, following = stream.pieces[:at], b"".join(stream.pieces[at : at + 1])
    match fault:
        case FaultKind.STREAM_ERROR:
            return _told(begun, stream.error, refusal)
        case FaultKind.RESPONSE_FAILED:
            return _told(begun, stream.failure or stream.error, refusal)
        case FaultKind.STREAM_RESET:
            return Course(pieces=begun, end=End.RESET)
        case FaultKind.STREAM_ENDS:
            return Course(pieces=begun)
        case FaultKind.STREAM_STALL:
            return Course(pieces=begun, end=End.SILENCE)
        case FaultKind.STREAM_PINGS:
            return Course(pieces=begun, end=End.PINGS, ping=stream.ping)
        case FaultKind.TRUNCATED:
            return Course(pieces=begun, end=End.CUT, rest=following)
        case FaultKind.BROKEN_JSON:
            return Course(pieces=(*begun, following.rstrip()[:-2] + b"\n\n"))
        case _:
            return Course(pieces=stream.pieces)


def middle(stream: Stream) -> int:
    """Return the number of pieces in the first half of *stream*."""
    return (len(stream.pieces) - stream.ending) // 2


def halves(body: bytes) -> Stream:
    """Make a stream of a plain body, for the faults that only streams know."""
    middle_ = max(1, len(body) // 2)
    return Stream(pieces=(body[:middle_], body[middle_:]), ending=1)


def _told(
    begun: tuple[bytes, ...], write: Callable[[Reply], bytes] | None, refusal: Callable[[], Reply]
) -> Course:
    if write is None:
        return Course(pieces=begun, end=End.RESET)
    return Course(pieces=(*begun, write(refusal())))
