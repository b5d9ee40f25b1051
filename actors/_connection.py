"""Where an HTTP client connects to."""

from collections.abc import Mapping

import msgspec

from ._secret import Secret


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """Say where a client connects to, and how patient it is."""

    provider: str
    base_url: str
    headers: Mapping[str, str]
    """Sent with every request."""
    secret_headers: Mapping[str, Secret]
    """Sent too, but never to another server than that of *base_url*."""
    attempts: int
    """Attempts in flight, as a rule: so many idle connections are kept."""
    connect_timeout: float
    """Seconds to a connection."""
    read_timeout: float
    """Seconds to the first byte, and between any two of an answer that is taken whole."""
    idle_timeout: float
    """Seconds between any two bytes of a stream."""
    most_bytes: int
    """A longer answer is refused, however small it was when packed."""
