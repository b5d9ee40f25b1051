"""Relaying: an HTTP exchange that some client library has put together, made by a service actor.

The library keeps its types and its exceptions; the actor adds the mailbox, the gate, the breaker, the
retries and the budgets. What is relayed comes back as the server sent it: a head, then bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from ..runtime import StreamRequest
from ..supervisors import ProviderError
from ._http_messages import IDEMPOTENT_METHODS, HttpReply
from ._sse import ServerSentEvent

_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_NOT_RELAYED_OUT = _HOP_BY_HOP | {
    # The service has its own: its server, its key, its idea of what it can unpack.
    "accept-encoding",
    "api-key",
    "authorization",
    "content-length",
    "cookie",
    "host",
    "x-api-key",
    "xi-api-key",
}
# The body has been unpacked, so neither its packing nor its length is true any more.
_NOT_RELAYED_BACK = _HOP_BY_HOP | {"content-encoding", "content-length"}


class RelayedHead(msgspec.Struct, frozen=True):
    """Hold the first part of a relayed response."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""


class RelayRequest(StreamRequest[RelayedHead | bytes], frozen=True, kw_only=True):
    """Make this HTTP exchange. The reply's first part is the head, the others are the body's bytes."""

    method: str
    target: str
    """Path and query, as the client library wrote them: the service knows what its base URL covers."""
    headers: Mapping[str, str]
    """Without keys, which are the service's business."""
    body: bytes = b""
    model: str = ""
    """The model asked for, where the body is JSON and names one: for metrics and prices."""

    @property
    def is_repeatable(self) -> bool:
        """Tell whether HTTP allows it to be sent again after it may have been carried out."""
        return self.method.upper() in IDEMPOTENT_METHODS or "idempotency-key" in self.headers


class AnsweredError(ProviderError):
    """The provider answered with an error. A relay hands the answer on as it came."""

    reply: HttpReply

    @classmethod
    def of(cls, error: ProviderError, reply: HttpReply) -> AnsweredError:
        """Attach *reply* to what it was classified as."""
        answered = cls(
            error.provider,
            error.kind,
            error.detail,
            status=error.status,
            code=error.code,
            retry_after=error.retry_after,
            retryable=error.retryable,
        )
        answered.reply = reply
        return answered


class StreamWatch(Protocol):
    """Watch the events of one stream for what its client library might not notice."""

    is_complete: bool
    """The end marker has been seen."""

    def see(self, event: ServerSentEvent) -> ProviderError | None:
        """Look at the next event; return the error that it reports."""
        ...


def headers_out(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of a client library that go to the server."""
    return _without(headers, _NOT_RELAYED_OUT)


def headers_back(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of a response that the client library gets."""
    return _without(headers, _NOT_RELAYED_BACK)


def _without(headers: Mapping[str, str], names: frozenset[str]) -> dict[str, str]:
    lower = ((name.lower(), value) for name, value in headers.items())
    return {name: value for name, value in lower if name not in names}
