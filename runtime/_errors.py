"""Errors of the runtime: not delivered, not answered, refused, badly set up.

Each class carries its facts as attributes and builds its text from them, so that callers decide by
class and attribute and people read one clear line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._exits import ExitReason
    from ._messages import Message
    from ._ref import Ref


class RelightError(Exception):
    """Catch anything relight raises on purpose."""


class DeliveryError(RelightError):
    """The message was not delivered; it is handed back as ``message``, nothing is lost."""

    def __init__(self, ref: Ref, message: Message, problem: str) -> None:
        super().__init__(f"{ref.path}: {type(message).__name__} {problem}")
        self.ref = ref
        """The actor it was meant for."""
        self.message = message
        """The message, as it was sent."""

    def is_about(self, ref: Ref, message: Message) -> bool:
        """Tell whether this is the failure of this very delivery, not of one made on its behalf."""
        return self.ref is ref and self.message is message


class MailboxFullError(DeliveryError):
    """The mailbox has no room. Wait with ``await ref.tell(...)``, or shed the message."""

    def __init__(self, ref: Ref, message: Message, capacity: int) -> None:
        super().__init__(ref, message, f"not taken: the mailbox is full ({capacity} messages)")
        self.capacity = capacity
        """How many messages the mailbox holds."""


class MailboxClosedError(DeliveryError):
    """The actor has stopped and takes no more messages."""

    def __init__(self, ref: Ref, message: Message, reason: ExitReason) -> None:
        super().__init__(ref, message, f"not taken: the actor has stopped ({reason})")
        self.reason = reason
        """Why it stopped."""


class NoSuchActorError(RelightError):
    """No actor is registered under this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no actor is registered as {name!r}")
        self.name = name
        """The name looked up."""


class UnhandledMessageError(DeliveryError):
    """The actor has no handler for this type of message."""

    def __init__(self, ref: Ref, message: Message, actor: str) -> None:
        super().__init__(ref, message, f"has no handler: add an @handles method for it to {actor}")


class SelfAskError(DeliveryError):
    """An actor of concurrency 1 asked itself: it would wait for its own end."""

    def __init__(self, ref: Ref, message: Message) -> None:
        super().__init__(ref, message, "asked of the actor itself: call the method, or tell() it")


class AskError(RelightError):
    """The message was delivered, but no reply came."""


class AskTimeoutError(AskError, TimeoutError):
    """No reply in time, though a handler had begun: the work may still happen."""

    def __init__(self, ref: Ref, message: Message, timeout: float) -> None:
        super().__init__(f"{ref.path}: no reply to {type(message).__name__} within {timeout:.3g} s")
        self.ref = ref
        self.message = message
        self.timeout = timeout
        """Seconds the asker waited."""


class ActorCrashedError(AskError):
    """The handler raised, or the actor crashed under it. The error is ``__cause__``."""

    def __init__(self, ref: Ref, message: Message, error: BaseException) -> None:
        super().__init__(f"{ref.path}: crashed on {type(message).__name__}: {type(error).__name__}")
        self.ref = ref
        self.message = message
        self.__cause__ = error


class ActorStoppedError(AskError):
    """The actor stopped before it replied. What it had not begun is never begun."""

    def __init__(self, ref: Ref, message: Message, reason: ExitReason) -> None:
        super().__init__(f"{ref.path}: stopped before it answered {type(message).__name__} ({reason})")
        self.ref = ref
        self.message = message
        self.reason = reason
        """Why it stopped."""


class StartError(RelightError):
    """An actor did not start. What its factory or start hook raised is ``__cause__``."""

    def __init__(self, path: str, problem: str, error: BaseException | None = None) -> None:
        super().__init__(f"{path}: did not start: {problem}")
        self.path = path
        """Path of the actor."""
        self.__cause__ = error


class NameTakenError(RelightError):
    """Another live actor is registered under this name."""

    def __init__(self, name: str, ref: Ref) -> None:
        super().__init__(f"the name {name!r} is taken by a live actor: stop it first, or choose another name")
        self.name = name
        self.ref = ref
        """The actor that has it."""


class NotRunningError(RelightError):
    """What was to be done needs an incarnation that runs, and there is none."""

    def __init__(self, ref: Ref) -> None:
        statistics = ref.statistics()
        super().__init__(f"{ref.path}: it is {statistics.state}, not running: wait until it runs again")
        self.ref = ref
        """The actor."""
        self.state = statistics.state
        """Where it is in its life."""


class ActorBusyError(RelightError, TimeoutError):
    """The actor had a message in hand for as long as one was willing to wait."""

    def __init__(self, ref: Ref, timeout: float) -> None:
        super().__init__(f"{ref.path}: still busy with a message after {timeout:.3g} s; nothing was changed")
        self.ref = ref
        """The actor."""
        self.timeout = timeout
        """Seconds waited."""


class HandlerError(RelightError, TypeError):
    """An actor class declares a handler that cannot work."""


class RefusalError(RelightError):
    """The call was refused before it was sent: nothing happened, nothing was spent."""

    def __init__(self, provider: str, reason: str, *, retry_after: float | None = None) -> None:
        super().__init__(f"{provider}: {reason}{_hint(retry_after)}")
        self.provider = provider
        """Who refused: the provider's id, or the path of a plain actor."""
        self.reason = reason
        """Why, in words."""
        self.retry_after = retry_after
        """Seconds until it is worth another try; None where nobody knows."""


class DeadlineExceededError(RefusalError, TimeoutError):
    """The deadline passed, or was too near, before any handler began. Safe to send again."""


class SettingsError(RelightError, ValueError):
    """A setting is wrong. The text names its path, its value, the remedy and where it was set."""

    def __init__(self, path: str, problem: str, *, value: object = None, source: str | None = None) -> None:
        shown = "" if value is None else f" (got {value!r})"
        origin = "" if source is None else f", set in {source}"
        super().__init__(f"{path}: {problem}{shown}{origin}")
        self.path = path
        """Dotted path of the setting, such as ``providers.openai.attempts``."""
        self.value = value
        self.source = source


class SystemEndedError(RelightError):
    """The system has ended, or ended before the call did: nothing of it goes on."""

    def __init__(self, call: str) -> None:
        super().__init__(f"{call}: the system has ended; open another one")
        self.call = call
        """What was called."""


class WrongThreadError(RelightError):
    """A blocking call was made on the thread of the event loop, which it would wait for for ever."""

    def __init__(self, call: str) -> None:
        super().__init__(f"{call} on the event loop's own thread: await the asynchronous call there")
        self.call = call
        """What was called."""


def _hint(wait: float | None) -> str:
    if wait is None:
        return ""
    # Whole seconds from 1,000 on: "2.06e+04 s" is no wait that people understand.
    return f"; try again in {wait:{'.3g' if wait < 999.5 else '.0f'}} s"
