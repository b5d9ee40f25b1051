"""What a service can be asked to see whether it answers."""

import msgspec

from ._http_messages import HttpRequest


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """Describe one cheap request that needs the address and the key, and little else."""

    request: HttpRequest
    """Plain HTTP, so that the answer's headers can be shown."""
    purpose: str
    """What it does, in a few words."""
    usd: float | None = 0.0
    """What it costs at most, in US dollars; None where the price is not known."""
