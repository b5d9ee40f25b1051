"""Services as actors, and what their authors need.

    class Weather(HttpService):
        @handles
        async def forecast(self, message: Forecast) -> Report:
            reply = await self.exchange(HttpRequest("GET", "/forecast", query={"city": message.city}))
            return self.decode(reply, Report)

That is all of it: the happy path of one attempt. Retries, waits, breaker and limits are its guard's,
by ``Weather.policy``. Errors are told apart by ``Weather.errors``, a table. `providers` holds services
that are ready made.

For code that is no actor yet there are `retry_with_backoff` and `CircuitBreaker`; an `Agent` is an actor
that works with services.
"""

from ..runtime import claim
from ._agent import Agent
from ._circuit_breaker import BreakerAttempt, CircuitBreaker
from ._classification import ErrorBody, ErrorRule, ErrorTable, read_error
from ._errors import MissingExtraError
from ._http import HttpService
from ._http_events import EventStream
from ._http_messages import HttpReply, HttpRequest
from ._http_stream import HttpStream
from ._plain_calls import PLAIN_CALLS, PlainCalls, PlainCallStatistics
from ._prices import DEFAULT_PRICES, Price, PriceTable, estimate_tokens, prices_in_force
from ._probe import Probe
from ._rate_headers import rate_report
from ._relay import RelayedHead, RelayRequest, StreamWatch
from ._relaying import transport
from ._retry_config import RetryConfig
from ._retrying import Retrying, retry_with_backoff
from ._secret import Secret
from ._service import Service
from ._sse import ServerSentEvent
from ._usage import Usage
from ._validation import HasText, OutputValidationError, Validated, json_reply, repair_chat
from ._waits import parse_wait, wait_hint

__all__ = [
    "DEFAULT_PRICES",
    "PLAIN_CALLS",
    "Agent",
    "BreakerAttempt",
    "CircuitBreaker",
    "ErrorBody",
    "ErrorRule",
    "ErrorTable",
    "EventStream",
    "HasText",
    "HttpReply",
    "HttpRequest",
    "HttpService",
    "HttpStream",
    "MissingExtraError",
    "OutputValidationError",
    "PlainCallStatistics",
    "PlainCalls",
    "Price",
    "PriceTable",
    "Probe",
    "RelayRequest",
    "RelayedHead",
    "RetryConfig",
    "Retrying",
    "Secret",
    "ServerSentEvent",
    "Service",
    "StreamWatch",
    "Usage",
    "Validated",
    "estimate_tokens",
    "json_reply",
    "parse_wait",
    "prices_in_force",
    "rate_report",
    "read_error",
    "repair_chat",
    "retry_with_backoff",
    "transport",
    "wait_hint",
]

claim(globals())
