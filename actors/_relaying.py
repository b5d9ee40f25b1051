"""`transport`: put a service actor under a client library that speaks HTTP through httpx2."""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

from ..runtime import Ref
from ..supervisors import Portal
from ._errors import MissingExtraError

if TYPE_CHECKING:
    import httpx2


@overload
def transport(ref: Ref, *, timeout: float | None = None) -> httpx2.AsyncBaseTransport: ...
@overload
def transport(ref: Ref, *, portal: Portal, timeout: float | None = None) -> httpx2.BaseTransport: ...


def transport(
    ref: Ref, *, portal: Portal | None = None, timeout: float | None = None
) -> httpx2.AsyncBaseTransport | httpx2.BaseTransport:
    """Make an httpx2 transport whose requests go through the service actor *ref*.

        client = AsyncOpenAI(
            api_key="held by the service",
            max_retries=0,
            http_client=httpx2.AsyncClient(transport=relight.transport(ref)),
        )

    The client library stays as it is, streaming included, and raises its own exceptions; its requests
    get the service's mailbox, gate, breaker, retries and budgets. Server and key are the service's: the
    client's own key is not sent. The client's base URL must have the same path.

    What the guard refuses comes back as a response, so that the library raises what it raises for a
    status: 429 while the gate is shut, 402 for a spent budget, 403 for a blocked provider, 503 else,
    with ``retry-after`` where it is known. Every error says ``x-should-retry: false``, which keeps a
    client whose own retries were left on from multiplying the service's.

    Cancelling the client's call, or closing its stream, cancels the attempt and closes the socket.

    Args:
        ref: An `HttpService` or a provider of `relight.actors.providers`, or a pool of them.
        portal: The system's, for a synchronous client in a thread of its own.
        timeout: Seconds for one exchange, waits and retries included; None: the service's call
            timeout. The client's own read timeout bounds each wait for the head and for more of the body.

    Raises:
        MissingExtraError: httpx2 is not installed.
    """
    try:
        from ._http_adapter import ActorTransport, AsyncActorTransport
    except ImportError as error:
        raise MissingExtraError("transport()", "http") from error
    if portal is None:
        return AsyncActorTransport(ref, timeout)
    return ActorTransport(ref, portal, timeout)
