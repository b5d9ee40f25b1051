"""Service: an actor that stands for one external service."""

from contextlib import suppress
from typing import ClassVar, cast

from ..runtime import Message, RelightError, cell_of, message_types
from ..supervisors import Charge, FailureKind, GuardedActor, ProviderError, Settings
from ..supervisors.policies import Policy
from ._prices import DEFAULT_PRICES, PriceTable, prices_in_force
from ._probe import Probe
from ._secret import Secret
from ._usage import Usage


class Service(GuardedActor):
    """Stand for one external service. Subclass it, with the happy path of one attempt in each handler.

    To raise is to fail: retries, waits, breaker and limits are the supervisor's business, by the
    class's `policy` or the settings' entry for its child. A handler raises :class:`ProviderError`
    for what the service did wrong; any other exception is a bug and restarts the actor.

    Args:
        key: The service's API key. It is kept as a :class:`Secret` and masked in every error.
        prices: What the service's models cost. The settings' prices win over them.
    """

    provider: ClassVar[str] = ""
    """Its name in errors and metrics; the child's id where it is empty."""
    policy: ClassVar[Policy] = Policy()
    """What its guard goes by, unless the settings or the child's spec say otherwise."""

    # Class level, so that a subclass with a constructor of its own need not call this one.
    _key: Secret | None = None
    _prices: PriceTable = DEFAULT_PRICES
    _own_prices: PriceTable | None = None

    def __init__(self, *, key: Secret | str | None = None, prices: PriceTable = DEFAULT_PRICES) -> None:
        self._key = Secret(key) if isinstance(key, str) else key
        self._prices = prices

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    @property
    def name(self) -> str:
        """Its name in errors: that of the provider, else the id of its child, else of its class."""
        if self.provider:
            return self.provider
        try:
            # The last part is the service's place below a supervisor of its own.
            return self.ref.path.rpartition("/")[0].rpartition("/")[2] or self.ref.path
        except RelightError:  # not adopted yet
            return type(self).__name__

    @classmethod
    def operations(cls) -> list[str]:
        """List what it can be asked, by the names that metrics and settings use."""
        return [kind.__name__ for kind in message_types(cls)]

    def configured(self, settings: Settings) -> None:
        """Take the prices that the settings say; they win over those given to the constructor."""
        if self._own_prices is None:
            self._own_prices = self._prices
        self._prices = prices_in_force(settings, self._own_prices)

    def is_repeatable(self, message: Message) -> bool:
        """Tell whether *message* may be attempted again after an attempt may have carried it out."""
        return True

    def probe(self, model: str | None = None) -> Probe | None:
        """Return a cheap request that shows whether the service answers; None: there is none.

        Args:
            model: Ask this model for one token, where the service has models.
        """
        return None

    def charge(self, message: Message, reply: object) -> Charge | None:
        """Read what an attempt used from its reply's ``usage``; of a list, as of a stream, the last one's."""
        usage = usage_of(reply)
        if usage is None:
            return None
        # No call uses no tokens at all: the server did not count them, or counts something else.
        return Charge(usage.usd, usage.input_tokens + usage.output_tokens or None)

    def hide(self, text: str) -> str:
        """Return *text* with the key masked: servers have been seen to echo it."""
        return text if self._key is None else self._key.hide_in(text)

    def failure(
        self, kind: FailureKind, detail: str, *, code: str | None = None, retryable: bool | None = None
    ) -> ProviderError:
        """Build the error to raise for something this service did wrong."""
        return ProviderError(self.name, kind, self.hide(detail), code=code, retryable=retryable)

    def emit(self, event: str, /, **fields: object) -> None:
        """Emit an event of this service, if it runs in a system."""
        with suppress(RelightError):  # not adopted: nobody listens
            cell_of(self.ref).kernel.events.info(event, **fields)


def usage_of(reply: object) -> Usage | None:
    """Find the usage in a reply, or in the last part of one that came in parts."""
    parts = cast("list[object]", reply) if isinstance(reply, list) else [reply]
    found = (getattr(part, "usage", None) for part in reversed(parts))
    return next((usage for usage in found if isinstance(usage, Usage)), None)
