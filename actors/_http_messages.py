"""What an HTTP service is asked, and what it answers."""

from collections.abc import Mapping

import msgspec

from ..runtime import Request

IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})


class HttpReply(msgspec.Struct, frozen=True):
    """Hold a whole response."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case; of a repeated header, the values joined by commas."""
    body: bytes

    @property
    def is_success(self) -> bool:
        """Tell whether the server did as asked: 2xx, or "304 Not Modified"."""
        return is_success(self.status)

    def json(self) -> object:
        """Decode the body.

        Raises:
            msgspec.DecodeError: It is no JSON.
        """
        return msgspec.json.decode(self.body)


class HttpRequest(Request[HttpReply], frozen=True):
    """Send one HTTP request; the reply is the response, if that is a success.

    A request that may have reached the server is sent again only if that does no harm: GET, HEAD,
    PUT and DELETE, and any other that has an *idempotency_key* or says ``idempotent=True``.
    """

    method: str
    path: str
    """Below the service's base URL; begins with a slash."""
    json: object = None
    """Sent as JSON; None sends no body."""
    body: bytes = b""
    """Sent as it is, in place of *json*."""
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    """Do not put keys here: messages may be stored and logged. The service adds its own key."""
    idempotency_key: str | None = None
    """Sent as ``Idempotency-Key``, the same in every attempt."""
    idempotent: bool | None = None
    """Whether it may be sent twice; None: as the method and the key say."""

    def __post_init__(self) -> None:
        # An absolute URL, or `//host`, would carry the service's key to another server.
        if not self.path.startswith("/") or self.path.startswith("//"):
            raise ValueError(f"HttpRequest.path must be a path that begins with one slash, got {self.path!r}")
        if self.body and self.json is not None:
            raise ValueError("HttpRequest takes json or body, got both")

    @property
    def is_repeatable(self) -> bool:
        """Tell whether it may be sent again after it may have been carried out."""
        if self.idempotent is not None:
            return self.idempotent
        return self.idempotency_key is not None or self.method.upper() in IDEMPOTENT_METHODS


def is_success(status: int) -> bool:
    """Tell whether *status* says that the server did as asked."""
    return 200 <= status < 300 or status == 304
