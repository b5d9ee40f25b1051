"""What goes back to the client, before it becomes bytes on a connection."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from email.utils import format_datetime

import msgspec

from ._plan import RetryAfterForm

_encoder = msgspec.json.Encoder()

HTML_ERROR = (
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"
    b"<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n"
)
"""What a gateway says when nobody behind it answers."""


class Reply(msgspec.Struct, frozen=True):
    """One HTTP response."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}

    def with_headers(self, *more: Mapping[str, str]) -> Reply:
        """Return a copy with *more* headers; later ones win."""
        merged = dict(self.headers)
        for headers in more:
            merged.update({name.lower(): value for name, value in headers.items()})
        return Reply(self.status, self.body, merged)

    def cut(self) -> Reply:
        """Return a copy whose body ends in the middle."""
        return Reply(self.status, self.body[: max(1, len(self.body) // 2)], self.headers)


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

    def _date(self) -> str:
        moment = self.today + timedelta(seconds=self.wait)
        if moment.microsecond:
            moment = moment.replace(microsecond=0) + timedelta(seconds=1)
        return format_datetime(moment, usegmt=True)


def json_reply(status: int, document: object) -> Reply:
    """Reply with *document* as JSON."""
    return Reply(status, _encoder.encode(document), {"content-type": "application/json"})


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
