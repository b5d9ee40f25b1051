"""What goes back to the client, before it becomes bytes on a connection."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from email.utils import format_datetime

import msgspec

from ._plan import RetryAfterForm

_encoder = msgspec.json.Encoder()

_MISSING = 20

HTML_ERROR = (
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"
    b"<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n"
)
"""What a gateway says when nobody behind it answers."""


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """A body that is sent a piece at a time, without its length: server-sent events, or plain bytes."""

    pieces: tuple[bytes, ...]
    """In order, each sent as a chunk of its own."""
    ending: int = 0
    """So many of the last pieces say that the answer is complete; an early end leaves them out."""
    ping: bytes = b": ping\n\n"
    """What keeps a quiet stream alive."""
    error: Callable[[Reply], bytes] | None = None
    """Write a refusal as a piece of the stream; None: the stream has no such thing, it is reset."""
    failure: Callable[[Reply], bytes] | None = None
    """Write it as the answer's own failure; None: as *error*."""


class Reply(msgspec.Struct, frozen=True):
    """One HTTP response."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}
    stream: Stream | None = None
    """Sent instead of *body*, a piece at a time."""

    def with_headers(self, *more: Mapping[str, str]) -> Reply:
        """Return a copy with *more* headers; later ones win."""
        merged = dict(self.headers)
        for headers in more:
            merged.update({name.lower(): value for name, value in headers.items()})
        return msgspec.structs.replace(self, headers=merged)

    def cut(self) -> Reply:
        """Return a copy whose body ends in the middle."""
        return msgspec.structs.replace(self, body=self.body[: max(1, len(self.body) // 2)])

    def too_short(self) -> Reply:
        """Return a copy that promises fewer bytes than it has."""
        body = self.body if self.stream is None else b"".join(self.stream.pieces)
        headers = {**self.headers, "content-length": str(max(0, len(body) - _MISSING))}
        return Reply(self.status, body, headers)

    @property
    def is_mismeasured(self) -> bool:
        """The headers tell another length than the body has."""
        told = self.headers.get("content-length")
        return told is not None and told != str(len(self.body))


class Hint(msgspec.Struct, frozen=True):
    """When to come back, and how to say so."""

    wait: float
    """Seconds."""
    form: RetryAfterForm
    today: datetime
    """The server's clock, for the form that is a date."""
    operation: str = ""
    """What was asked for: a provider of several services refuses in several ways."""

    def headers(self) -> dict[str, str]:
        """Say it in a header."""
        match self.form:
            case RetryAfterForm.SECONDS:
                return {"retry-after": str(math.ceil(self.wait))}
            case RetryAfterForm.FLOAT:
                return {"retry-after": f"{self.wait:.3f}"}
            case RetryAfterForm.MILLISECONDS:
                return {"retry-after-ms": str(math.ceil(self.wait * 1000.0))}
            case RetryAfterForm.DATE:
                return {"retry-after": self._date()}
            case RetryAfterForm.ZERO:
                return {"retry-after": "0"}
            case RetryAfterForm.NEGATIVE:
                return {"retry-after": "-1"}
            case RetryAfterForm.HOUR:
                return {"retry-after": "3600"}
            case RetryAfterForm.JUNK:
                return {"retry-after": "soon"}

    def _date(self) -> str:
        moment = self.today + timedelta(seconds=self.wait)
        if moment.microsecond:
            moment = moment.replace(microsecond=0) + timedelta(seconds=1)
        return format_datetime(moment, usegmt=True)


def json_reply(status: int, document: object) -> Reply:
    """Reply with *document* as JSON."""
    return Reply(status, _encoder.encode(document), {"content-type": "application/json"})


def stream_reply(stream: Stream, content_type: str = "text/event-stream; charset=utf-8") -> Reply:
    """Reply with a stream."""
    return Reply(200, b"", {"content-type": content_type, "cache-control": "no-cache"}, stream)


def sse(document: object, event: str | None = None) -> bytes:
    """Write *document* as one server-sent event."""
    head = b"" if event is None else b"event: " + event.encode() + b"\n"
    return head + b"data: " + _encoder.encode(document) + b"\n\n"


def sse_all(documents: Sequence[Mapping[str, object]]) -> tuple[bytes, ...]:
    """Write each of *documents* as an event that is named as its ``type``."""
    return tuple(sse(document, str(document["type"])) for document in documents)


def html_reply(status: int, body: bytes = HTML_ERROR) -> Reply:
    """Reply with a page of HTML."""
    return Reply(status, body, {"content-type": "text/html"})


def go_duration(seconds: float) -> str:
    """Write *seconds* as OpenAI's headers and messages do: ``12ms``, ``1.5s``, ``6m0s``."""
    milliseconds = math.ceil(seconds * 1000.0)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    text = f"{rest / 1000:g}s"
    return f"{minutes}m{text}" if minutes else text
