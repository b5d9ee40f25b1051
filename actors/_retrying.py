"""retry_with_backoff: retries for functions that are no actors yet, by the same policies."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from functools import partial, wraps
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from random import Random
from typing import ParamSpec, TypeVar, cast, overload

import anyio

from ..supervisors import how_it_retries
from ._plain_calls import PLAIN_CALLS, PlainCalls
from ._retry_config import RetryConfig
from ._retrying_call import RetryingCall, RetryingLayer, time_left

P = ParamSpec("P")
R = TypeVar("R")


class Retrying:
    """Decorate functions so that they are called again when they fail. Made by `retry_with_backoff`."""

    def __init__(
        self,
        config: RetryConfig,
        operation_name: str,
        provider: str,
        sleep: Callable[[float], object],
        rng: Random | None,
        calls: PlainCalls,
    ) -> None:
        self._config = config
        self._operation_name = operation_name
        self._provider = provider
        self._sleep = sleep
        self._rng = rng or Random()
        self._calls = calls

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Return *function* with retries. Its signature stays.

        Raises:
            TypeError: It is nothing that can be called again: a generator function, a class.
        """
        check_retryable(function, "retry_with_backoff")
        operation = self._operation_name or name_of(function)
        layer = RetryingLayer(
            f"retry_with_backoff({operation})",
            operation,
            self._config,
            self._rng,
            self._calls,
            provider=self._provider,
            inside=how_it_retries(function),
        )
        if is_coroutine_function(function):
            awaited = cast("Callable[..., Coroutine[object, object, object]]", function)

            @wraps(function)
            async def retried_async(*args: P.args, **kwargs: P.kwargs) -> object:
                return await retry_async(layer, partial(awaited, *args, **kwargs))

            return cast("Callable[P, R]", retried_async)

        @wraps(function)
        def retried(*args: P.args, **kwargs: P.kwargs) -> R:
            return retry_sync(layer, partial(function, *args, **kwargs), self._sleep)

        return retried


@overload
def retry_with_backoff(config: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def retry_with_backoff(
    config: RetryConfig | None = None,
    *,
    operation_name: str = "",
    provider: str = "",
    sleep: Callable[[float], object] = time.sleep,
    rng: Random | None = None,
    calls: PlainCalls = PLAIN_CALLS,
) -> Retrying: ...


def retry_with_backoff(
    config: RetryConfig | Callable[..., object] | None = None,
    *,
    operation_name: str = "",
    provider: str = "",
    sleep: Callable[[float], object] = time.sleep,
    rng: Random | None = None,
    calls: PlainCalls = PLAIN_CALLS,
) -> Retrying | Callable[..., object]:
    """Call a function again when it fails, with a wait before each retry.

        @retry_with_backoff(RetryConfig(max_retries=5), operation_name="load the page")
        async def load(url: str) -> bytes: ...

    The last error is raised as it is, with a note of how many attempts there were. Cancellation is never
    retried. Each call is on its own: calls at the same time share nothing but counters. Asynchronous
    functions wait on trio and asyncio; a wait that would outlast the cancel scope around it, or the deadline
    of the request in hand, is not begun. All attempts of a call have one correlation id, which every log line
    carries, the function's own too if it logs with structlog.

    Args:
        config: What is retried, how often, and how long it waits.
        operation_name: Names it in logs and metrics; by default the function's name.
        provider: What it calls, for the metrics.
        sleep: Waits between the attempts of a function that is not ``async``. It blocks the thread.
        rng: Source of the jitter.
        calls: Where it is counted.

    Raises:
        TypeError: What is decorated can't be retried: a generator function, a class.
    """
    if callable(config):
        return Retrying(RetryConfig(), "", "", sleep, rng, calls)(config)
    return Retrying(config or RetryConfig(), operation_name, provider, sleep, rng, calls)


async def retry_async(layer: RetryingLayer, attempt: Callable[[], Coroutine[object, object, R]]) -> R:
    """Make the attempts of one asynchronous call."""
    with RetryingCall(layer) as call:
        while True:
            try:
                result = await attempt()
            except Exception as error:
                wait = call.failed(error, time_left())
                if wait is None:
                    raise
            else:
                call.succeeded()
                return result
            await anyio.sleep(wait)


def retry_sync(layer: RetryingLayer, attempt: Callable[[], R], sleep: Callable[[float], object]) -> R:
    """Make the attempts of one call that blocks."""
    with RetryingCall(layer) as call:
        while True:
            try:
                result = attempt()
                if isinstance(result, Coroutine):
                    cast("Coroutine[object, object, object]", result).close()
                    raise TypeError(
                        f"{layer.name}: it returned a coroutine, which fails where it is awaited and "
                        "not here: decorate an `async def`"
                    )
            except Exception as error:
                wait = call.failed(error)
                if wait is None:
                    raise
            else:
                call.succeeded()
                return result
            sleep(wait)


def is_coroutine_function(function: object) -> bool:
    """Tell whether calling it makes a coroutine, also for objects with an ``async def __call__``."""
    inner = _unwrapped(function)
    return iscoroutinefunction(inner) or iscoroutinefunction(getattr(inner, "__call__", None))  # noqa: B004


def check_retryable(function: object, what: str) -> None:
    """Refuse what can't simply be called again.

    Raises:
        TypeError: It is none.
    """
    name = name_of(function)
    if isasyncgenfunction(function) or isgeneratorfunction(function):
        raise TypeError(
            f"{what}: {name} is a generator function: it fails while it is iterated, after a part was "
            "delivered. Put it around a function that consumes the generator and returns the whole"
        )
    if isinstance(function, staticmethod | classmethod):
        kind = "staticmethod" if isinstance(function, staticmethod) else "classmethod"
        raise TypeError(f"{what}: put it under @{kind}, next to the function")
    if isinstance(function, type) or not callable(function):
        raise TypeError(f"{what}: needs a function, got {function!r}")


def name_of(function: object) -> str:
    """Return a function's name for people."""
    inner = _unwrapped(function)
    return str(getattr(inner, "__qualname__", type(inner).__name__)).replace("<locals>.", "")


def _unwrapped(function: object) -> object:
    while isinstance(function, partial):
        function = cast("partial[object]", function).func
    return function
