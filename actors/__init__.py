"""Services as actors, and what their authors need.

    class Weather(HttpService):
        @handles
        async def forecast(self, message: Forecast) -> Report:
            reply = await self.exchange(HttpRequest("GET", "/forecast", query={"city": message.city}))
            return self.decode(reply, Report)

That is all of it: the happy path of one attempt. Retries, waits, breaker and limits are its guard's,
by ``Weather.policy``. Errors are told apart by ``Weather.errors``, a table. `providers` holds services
that are ready made.
"""

from ..runtime import claim
from ._classification import ErrorBody, ErrorRule, ErrorTable, read_error
from ._errors import MissingExtraError
from ._http import HttpService
from ._http_messages import HttpReply, HttpRequest
from ._http_stream import HttpStream
from ._prices import DEFAULT_PRICES, Price, PriceTable, estimate_tokens
from ._relay import RelayedHead, RelayRequest, StreamWatch
from ._relaying import transport
from ._secret import Secret
from ._service import Service
from ._usage import Usage
from ._waits import parse_wait, wait_hint

__all__ = [
    "DEFAULT_PRICES",
    "ErrorBody",
    "ErrorRule",
    "ErrorTable",
    "HttpReply",
    "HttpRequest",
    "HttpService",
    "HttpStream",
    "MissingExtraError",
    "Price",
    "PriceTable",
    "RelayRequest",
    "RelayedHead",
    "Secret",
    "Service",
    "StreamWatch",
    "Usage",
    "estimate_tokens",
    "parse_wait",
    "read_error",
    "transport",
    "wait_hint",
]

claim(globals())
