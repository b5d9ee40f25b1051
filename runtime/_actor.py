"""Actor: the class users write."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, ClassVar, Protocol

from ._errors import RelightError
from ._exits import ExitReason
from ._handlers import Overflow
from ._refs import cell_of

if TYPE_CHECKING:
    from ._monitors import Monitor
    from ._ref import Ref


class _Home(Protocol):
    """The runtime's side of an actor, as far as the actor may see it."""

    @property
    def ref(self) -> Ref: ...


class Actor:
    """Hold state and handle messages, one at a time. Subclass it.

    Mark handlers with `handles`; the type of their one parameter says what they handle. The
    constructor runs in the supervisor, so it should only take what it is given; open what needs
    waiting in `started` or `lifespan`. An exception that leaves a handler is a crash: the
    supervisor decides, and a restart begins with a new object from the child's factory.
    """

    concurrency: ClassVar[int] = 1
    """Messages handled at once; above 1, handlers of one actor interleave at awaits."""
    mailbox: ClassVar[int] = 1024
    """Messages the mailbox holds; a full one makes ``tell`` wait."""
    overflow: ClassVar[Overflow] = Overflow.WAIT
    """What a full mailbox does."""
    call_timeout: ClassVar[float] = 5.0
    """Seconds an ask without a timeout waits for the reply."""
    declines: ClassVar[tuple[type[Exception], ...]] = ()
    """Exceptions that are an answer, not a crash: the asker gets them as they are and the actor goes
    on. A told message that ends so becomes a dead letter."""
    isolated: ClassVar[bool] = False
    """Handle each message in a copy of the context, so that context variables set by a handler, or by
    a start or stop hook, end with it. Costs about a microsecond a message; without it only
    relight's own are reset."""

    traps_exits: ClassVar[bool] = False
    """Be told of exit signals as messages, `Exited`, which go before whatever is queued. Without it an
    exit signal other than a normal one ends the actor."""

    __slots__ = ("__dict__", "__weakref__", "_home")
    _home: _Home
    start_info: object = None
    """What `started` returned."""

    @property
    def ref(self) -> Ref:
        """The actor's own ref. There is none before the runtime has adopted the object.

        Raises:
            RelightError: The object was made by hand, or this is its constructor.
        """
        try:
            return self._home.ref
        except AttributeError:
            raise RelightError(
                f"{type(self).__name__}.ref: the runtime has not adopted this object yet; use it in started()"
            ) from None

    def link(self, other: Ref) -> None:
        """Link this incarnation with another actor's: see `System.link`."""
        one = cell_of(self.ref)
        one.kernel.links.link(one, cell_of(other))

    def unlink(self, other: Ref) -> None:
        """Undo a link: see `System.unlink`."""
        one = cell_of(self.ref)
        one.kernel.links.unlink(one, cell_of(other))

    def monitor(self, other: Ref) -> Monitor:
        """Be told a `Down` when another actor's incarnation ends: see `System.monitor`."""
        watcher = cell_of(self.ref)
        return watcher.kernel.monitors.watch(cell_of(other), watcher)

    def describe(self) -> Mapping[str, object]:
        """Say what `System.state` shows of this actor: its attributes, unless you override it.

        It may be called in the middle of a handler. What it returns is cleared of secrets and bounded.
        """
        return vars(self)

    async def started(self) -> object:
        """Prepare before the first message of this incarnation.

        What it returns is `Ref.info` afterwards. Raising fails the start; `Ignore` says that the actor
        is not wanted now.
        """
        return None

    async def stopping(self, reason: ExitReason) -> None:
        """Clean up after the last message of this incarnation, whatever ended it but a kill.

        Runs in a shield that ends with the shutdown deadline.
        """

    def killed(self, reason: ExitReason) -> None:
        """Hear that this incarnation is being ended without its stop hook. Must not wait.

        For actors that own others; what only Python owns goes with the object.
        """

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None, None]:
        """Hold clients and task groups around all handlers of this incarnation.

        Entered after `started` and left after `stopping`, in one task of its own, so it may hold
        what must be closed where it was opened. A cancel scope opened here does not cover
        handlers. If its body is cancelled or raises, handlers in hand are cancelled and the actor
        has crashed.
        """
        yield
