"""Agent: an actor that works with services, and leaves retries to them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from math import inf
from typing import ClassVar, TypeVar, TypeVarTuple, cast

import anyio

from ..runtime import (
    Actor,
    Message,
    NoSuchActorError,
    Ref,
    RefusalError,
    Request,
    Stream,
    StreamRequest,
    cell_of,
    redact,
    text_of,
)
from ..supervisors import ProviderError, find_actor, how_it_retries
from ._plain_calls import PLAIN_CALLS
from ._retry_config import RetryConfig
from ._retrying import check_retryable, name_of, retry_async
from ._retrying_call import RetryingLayer
from ._usage import Usage
from ._validation import OutputValidationError, Validated, add_usage, repair_chat

ReplyT = TypeVar("ReplyT")
ChunkT = TypeVar("ChunkT")
ResultT = TypeVar("ResultT")
RequestT = TypeVar("RequestT", bound=Request[object])
ValueT = TypeVar("ValueT")
ArgumentTs = TypeVarTuple("ArgumentTs")


class Agent(Actor):
    """Work with services. Subclass it, with the steps of the work in handlers and no retry code.

        class Writer(Agent):
            @handles
            async def write(self, message: WriteScript) -> Script:
                question = ChatCompletion(...)
                done = await self.ask_validated("openai", question, validate=json_reply(Script))
                return done.value

    Services are asked by ref or by name, which is looked up each time. Their guards retry; the methods here
    add what no guard can know: whether an answer makes sense, and retries around what is no service yet.
    """

    isolated: ClassVar[bool] = True
    call_timeout: ClassVar[float] = 600.0
    """Seconds an ask without a timeout waits: an agent's work takes several calls."""
    retry: ClassVar[RetryConfig] = RetryConfig()
    """How `execute_with_retry` retries, unless it is told otherwise."""
    declines: ClassVar[tuple[type[Exception], ...]] = (ProviderError, RefusalError, OutputValidationError)
    """What a service could not do is the answer to whoever asked the agent, and no fault of the agent's:
    it does not crash of it. What it was told becomes a dead letter."""

    def service(self, name: str) -> Ref:
        """Return the live service or actor at this path or with this name.

        Raises:
            NoSuchActorError: There is none.
        """
        found = find_actor(cell_of(self.ref).kernel, name)
        if found is None:
            raise NoSuchActorError(name)
        return found

    async def ask(self, to: Ref | str, message: Request[ReplyT], *, timeout: float | None = None) -> ReplyT:
        """Ask a service, and wait for the reply; see `Ref.ask`.

        Args:
            to: Its ref, path or name.
            message: What is asked.
            timeout: Seconds; None: the service's ``call_timeout``, or what is left of the request in hand.
        """
        return await self._ref(to).ask(message, timeout=timeout)

    def stream(
        self, to: Ref | str, message: StreamRequest[ChunkT], *, timeout: float | None = None
    ) -> Stream[ChunkT]:
        """Prepare to ask a service and read its reply in parts; see `Ref.stream`."""
        return self._ref(to).stream(message, timeout=timeout)

    async def tell(self, to: Ref | str, message: Message) -> None:
        """Tell a service or an actor something, and go on; see `Ref.tell`."""
        await self._ref(to).tell(message)

    async def execute_with_retry(
        self,
        function: Callable[[*ArgumentTs], Awaitable[ResultT]],
        *args: *ArgumentTs,
        config: RetryConfig | None = None,
        operation_name: str = "",
    ) -> ResultT:
        """Call an asynchronous function, and again when it fails, as `retry_with_backoff` does.

        It is for what is no service yet. Around an ask of a service it would multiply the guard's retries:
        that is warned of, once (``retry.nested``). What blocks belongs into a thread:
        ``execute_with_retry(anyio.to_thread.run_sync, function)``.

        Args:
            function: What is called. For keyword arguments use `functools.partial`.
            *args: Its arguments.
            config: How it is retried; None: as the class's `retry` says.
            operation_name: Names it in logs and metrics; by default the function's name.

        Raises:
            Exception: What the last attempt raised.
        """
        check_retryable(function, "execute_with_retry")
        kernel = cell_of(self.ref).kernel
        operation = operation_name or name_of(function)
        layer = RetryingLayer(
            f"{type(self).__name__}.execute_with_retry({operation})",
            operation,
            config or self.retry,
            kernel.rng,
            PLAIN_CALLS,
            inside=how_it_retries(function),
            events=kernel.events,
        )

        async def attempt() -> ResultT:
            result = cast("object", function(*args))
            if not isawaitable(result):
                raise TypeError(
                    f"{layer.name}: needs an asynchronous function; run one that blocks in a thread: "
                    "execute_with_retry(anyio.to_thread.run_sync, function)"
                )
            return cast("ResultT", await result)

        return await retry_async(layer, attempt)

    async def ask_validated(
        self,
        to: Ref | str,
        message: Request[ReplyT],
        *,
        validate: Callable[[ReplyT], ValueT],
        attempts: int = 3,
        repair: Callable[[Request[ReplyT], ReplyT, Exception], Request[ReplyT]] = repair_chat,
        timeout: float | None = None,
    ) -> Validated[ValueT, ReplyT]:
        """Ask until the reply is valid: each time with what was wrong about the one before.

        Only replies count here. Errors of the service are its guard's business: when one comes out, its
        retries are over, and it is raised as it is.

        Args:
            to: The service's ref, path or name.
            message: What is asked.
            validate: Returns what is made of a reply, or raises ValueError, as msgspec and pydantic do.
                `json_reply` makes one.
            attempts: Replies in all, 1..10.
            repair: Makes the next message of the last one, its reply and the error. The default adds both
                to the conversation.
            timeout: Seconds for all of them together.

        Raises:
            OutputValidationError: No reply was valid. It has the last one, and what all of them cost.
        """
        if not 1 <= attempts <= 10:
            raise ValueError(f"ask_validated: attempts must be 1..10, got {attempts!r}")
        ref, due = self._ref(to), inf if timeout is None else anyio.current_time() + timeout
        usage: Usage | None = None
        number = 1
        while True:
            reply = await self._ask_again(ref, message, due, number, usage)
            usage = add_usage(usage, reply)
            try:
                return Validated(validate(reply), reply, number, usage)
            except ValueError as error:
                self._say_invalid(ref, message, number, attempts, error)
                if number == attempts:
                    raise OutputValidationError(
                        ref.path, message, error, reply=reply, attempts=number, usage=usage
                    ) from error
                message = repair(message, reply, error)
            number += 1

    async def _ask_again(
        self, ref: Ref, message: Request[ReplyT], due: float, number: int, usage: Usage | None
    ) -> ReplyT:
        left = None if due == inf else due - anyio.current_time()
        try:
            return await ref.ask(message, timeout=left)
        except Exception as error:
            if number > 1:
                spent = "an unknown sum" if usage is None or usage.usd is None else f"{usage.usd:.4g} USD"
                error.add_note(f"{number - 1} replies before it were not valid, and cost {spent}")
            raise

    def _say_invalid(self, ref: Ref, message: Message, number: int, attempts: int, error: Exception) -> None:
        cell_of(self.ref).kernel.events.warning(
            "reply.invalid",
            actor_path=self.ref.path,
            provider=ref.path,
            operation=type(message).__name__,
            attempt=number,
            attempts=attempts,
            error_type=type(error).__name__,
            error=redact(text_of(error)),
        )

    def _ref(self, to: Ref | str) -> Ref:
        return self.service(to) if isinstance(to, str) else to
