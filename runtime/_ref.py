"""Ref: the only handle others hold on an actor."""

from __future__ import annotations

from abc import ABC, abstractmethod

from ._exits import NORMAL, ExitReason
from ._messages import ChunkT, Message, ReplyT, Request, StreamRequest
from ._statistics import ActorStatistics
from ._stream import Stream


class Ref(ABC):
    """Send messages to one actor, whichever incarnation of it is running.

    A ref stays good across restarts: what is queued while the actor restarts is handled by its
    next incarnation. Messages of one sender to one actor are handled in the order sent.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def path(self) -> str:
        """Where the actor stands in the tree: ``providers/openai``."""

    @property
    @abstractmethod
    def is_alive(self) -> bool:
        """Tell whether the actor takes messages: it runs, restarts or is suspended."""

    @property
    def principal(self) -> Ref:
        """The one actor that stands for this ref where one is needed, to be monitored or linked.

        It is the ref itself; of a pool, the supervisor of its members.
        """
        return self

    @property
    @abstractmethod
    def info(self) -> object:
        """What the actor's ``started`` returned, of its newest incarnation: a port it listens on, say."""

    @abstractmethod
    async def tell(self, message: Message) -> None:
        """Send *message* and go on; wait while the mailbox is full.

        The wait is the backpressure. Cancelled while it waits, the message was not sent. With room
        in the mailbox this is no checkpoint.

        Raises:
            MailboxClosedError: The actor has stopped. Carries *message* back.
        """

    @abstractmethod
    def tell_nowait(self, message: Message) -> None:
        """Send *message* or raise; never waits.

        Raises:
            MailboxFullError: No room. Carries *message* back.
            MailboxClosedError: The actor has stopped. Carries *message* back.
        """

    @abstractmethod
    async def ask(self, message: Request[ReplyT], *, timeout: float | None = None) -> ReplyT:
        """Send *message* and wait for the actor's reply.

        The actor handles it at most once. When the time is up only the caller stops waiting: a
        plain actor is not disturbed, and its late reply is dropped and counted. Made while a
        request is being handled, the ask also ends at the deadline its asker set with ``timeout``.

        Args:
            message: Handled after everything already in the mailbox.
            timeout: Seconds, room in the mailbox included; None is the actor's default (5 s, or
                the service's ``call_timeout``). Can only shorten an inherited deadline.

        Raises:
            MailboxClosedError: The actor has stopped. Carries *message* back.
            DeadlineExceededError: The time was up before a handler began: nothing happened.
            AskTimeoutError: No reply in time. The work may still happen.
            ActorCrashedError: The handler raised; its error is the cause.
            ActorStoppedError: The actor stopped before it replied.
            UnhandledMessageError: The actor has no handler for this type of message.
            SelfAskError: An actor that handles one message at a time asked itself.
        """

    @abstractmethod
    def stream(self, message: StreamRequest[ChunkT], *, timeout: float | None = None) -> Stream[ChunkT]:
        """Prepare to send *message* and read its reply in parts.

            async with ref.stream(Tell(story)) as chunks:
                async for chunk in chunks: ...

        The request is sent when the block is entered. The handler may be 16 chunks ahead, then it
        waits for the reader. A handler that raises ends the stream with what an ask would have raised,
        after the chunks before it.

        Args:
            message: Handled after everything already in the mailbox.
            timeout: Seconds for the whole stream, the reader's own time included; else as in `ask`: 180 s
                for a service, unless its policy says otherwise. A long one is worth a number of its own.

        Raises:
            DeliveryError: On entering the block, as by `ask`.
            RefusalError: On entering the block, or at the first chunk.
            AskError: While reading, as by `ask`.
        """

    @abstractmethod
    async def stop(self, reason: ExitReason = NORMAL, *, timeout: float | None = None) -> None:
        """Stop the actor for good and wait for its end; its supervisor does not restart it.

        The message in hand is finished, the queued ones fail or become dead letters at once, then
        its stop hook runs. All of that within *timeout* seconds (None: the ``shutdown`` of its
        child spec), then it is killed. Stopping a stopped actor does nothing.
        """

    @abstractmethod
    def statistics(self) -> ActorStatistics:
        """Look at the actor's counters."""
