"""A response that is a stream of events."""

from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import final

import anyio

from ..supervisors import ProviderError
from ._http_stream import HttpStream
from ._sse import EventParser, OversizedEventError, ServerSentEvent

_REST_SECONDS = 0.5
"""An end that is not there by then is not worth the connection."""


@final
class EventStream:
    """Iterate over the events of a response as they come. Only within the block that opened it.

    Raises:
        ProviderError: While it is iterated: as by `HttpStream`, or an event is too long.
    """

    def __init__(self, response: HttpStream, refuse: Callable[[str], ProviderError]) -> None:
        self._response = response
        self._refuse = refuse
        self._parser = EventParser()
        self._events: deque[ServerSentEvent] = deque()

    def __aiter__(self) -> AsyncIterator[ServerSentEvent]:
        return self

    async def __anext__(self) -> ServerSentEvent:
        """Wait for the next event. Pings and other comments are none."""
        while not self._events:
            chunk = await anext(self._response)
            try:
                self._events += self._parser.feed(chunk)
            except OversizedEventError as error:
                raise self._refuse(str(error)) from error
        return self._events.popleft()

    async def finish(self) -> None:
        """Read what follows the last event of interest, usually nothing, so that the connection is kept."""
        with anyio.move_on_after(_REST_SECONDS):
            try:
                async for _ in self._response:
                    pass
            except ProviderError:
                return
