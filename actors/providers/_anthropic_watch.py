"""Watch Anthropic's streams while they are relayed to another client library."""

from ...supervisors import ProviderError
from .._http import HttpService
from .._http_messages import HttpReply
from .._sse import ServerSentEvent


class AnthropicWatch:
    """Know the end of a message's stream, and the errors in it."""

    def __init__(self, service: HttpService) -> None:
        self._service = service
        self.is_complete = False
        """The end marker has been seen."""

    def see(self, event: ServerSentEvent) -> ProviderError | None:
        """Look at the next event; return the error that it reports."""
        if event.event == "message_stop":
            self.is_complete = True
        if event.event != "error":
            return None
        return self._service.failure_of(HttpReply(200, {}, event.data.encode()))
