"""Watch OpenAI's streams while they are relayed to another client library."""

import msgspec

from ...supervisors import ProviderError
from .._http import HttpService
from .._http_messages import HttpReply
from .._sse import ServerSentEvent

_LAST = frozenset({"response.completed", "response.incomplete", "response.failed"})


class _Choice(msgspec.Struct):
    finish_reason: str | None = None


class _Response(msgspec.Struct):
    error: object = None


class _Event(msgspec.Struct):
    type: str = ""
    error: object = None
    choices: list[_Choice] = []
    response: _Response | None = None


class OpenAIWatch:
    """Know the end of a chat's stream and of a response's, and the errors in either."""

    def __init__(self, service: HttpService) -> None:
        self._service = service
        self.is_complete = False
        """The end marker has been seen. Servers that copied the API end with a finish reason alone."""

    def see(self, event: ServerSentEvent) -> ProviderError | None:
        """Look at the next event; return the error that it reports."""
        if event.data == "[DONE]":
            self.is_complete = True
            return None
        try:
            body = msgspec.json.decode(event.data, type=_Event)
        except msgspec.MsgspecError:
            return None  # the client library will say so
        if body.type in _LAST or any(choice.finish_reason for choice in body.choices):
            self.is_complete = True
        return self._error(body, event.data)

    def _error(self, body: _Event, data: str) -> ProviderError | None:
        if body.type == "response.failed" and body.response is not None:
            data = msgspec.json.encode({"error": body.response.error}).decode()
        elif body.type != "error" and body.error is None:
            return None
        return self._service.failure_of(HttpReply(200, {}, data.encode()))
