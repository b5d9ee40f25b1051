"""CircuitBreaker: the breaker for code that is no actor yet, on the same machine as the guard's."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial, wraps
from types import TracebackType
from typing import ParamSpec, Self, TypeVar, cast

from ..runtime import RefusalError
from ..supervisors import CircuitBreakerOpenError, ProviderError
from ..supervisors.policies import Breaker, CircuitState, CircuitStatistics, Permit
from ._plain_calls import PLAIN_CALLS, PlainCalls
from ._retrying import check_retryable, is_coroutine_function

P = ParamSpec("P")
R = TypeVar("R")


class CircuitBreaker:
    """Leave a service alone that keeps failing: refuse calls at once, then let one through to see.

        breaker = CircuitBreaker(failure_threshold=5, timeout=60.0, name="weather")
        report = await breaker.call(fetch, "Oslo")

    It is also a decorator, ``@breaker``, and ``with breaker.attempt():`` guards a block. Any thread may use
    it, and any event loop. Cancellations never count, nor do refusals, nor what a `ProviderError` says was
    the caller's fault.

    Args:
        failure_threshold: Failures in a row that open it.
        timeout: Seconds it stays open.
        name: What refusals, logs and metrics call it.
        failure_rate: Share of the calls of the last minute that opens it when they fail, once there were 20;
            None: only failures in a row do.
        max_timeout: It stays open twice as long after each trial call that failed, up to this; None: always
            *timeout*. A server that asks for a longer pause gets it.
        probes: Trial calls let through when the time is up. All have to succeed to close it.
        expected: The exceptions that count. All others pass and count neither for nor against.
        clock: Seconds that never go back.
        calls: Where its state is shown and its transitions are counted.
    """

    def __init__(
        self,
        failure_threshold: int = 5,
        timeout: float = 60.0,
        name: str = "circuit",
        *,
        failure_rate: float | None = 0.5,
        max_timeout: float | None = None,
        probes: int = 1,
        expected: type[Exception] | tuple[type[Exception], ...] = Exception,
        clock: Callable[[], float] = time.monotonic,
        calls: PlainCalls = PLAIN_CALLS,
    ) -> None:
        try:
            spec = Breaker(
                failures=failure_threshold,
                failure_rate=failure_rate,
                open_seconds=timeout,
                open_cap=timeout if max_timeout is None else max_timeout,
                probes=probes,
            )
        except ValueError as error:
            raise ValueError(f"CircuitBreaker {name!r}: {error}") from None
        self.name = name
        """What refusals, logs and metrics call it."""
        self._expected = expected
        self._clock = clock
        self._calls = calls
        # Not a method of this object: a breaker that nobody uses any more should go at once.
        self._changes = changes = deque[tuple[CircuitState, CircuitState, float]]()
        self._circuit = spec.circuit(lambda old, new, now: changes.append((old, new, now)))
        # Reentrant: a listener may look at the breaker it hears of.
        self._lock = threading.RLock()
        calls.add_breaker(self)

    def __repr__(self) -> str:
        return f"<CircuitBreaker {self.name} {self.state.name.lower()}>"

    @property
    def state(self) -> CircuitState:
        """Where it is now."""
        with self._lock:
            state = self._circuit.poll(self._clock())
        self._tell()
        return state

    def statistics(self) -> CircuitStatistics:
        """Return its counts at this moment."""
        with self._lock:
            self._circuit.poll(self._clock())
            statistics = self._circuit.statistics()
        self._tell()
        return statistics

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call *function* if the breaker lets it; what it returns is returned.

        For an ``async def`` await the result: it is looked whether the call may be made when it is awaited.

        Raises:
            CircuitBreakerOpenError: It was not called. ``retry_after`` says when to come back.
        """
        if is_coroutine_function(function):
            awaited = cast("Callable[..., Coroutine[object, object, object]]", function)
            return cast("R", self._call(partial(awaited, *args, **kwargs)))
        with self.attempt() as permit:
            result = function(*args, **kwargs)
            if isinstance(result, Coroutine):
                # What fails is still to come: it is its own attempt, when it is awaited.
                permit.give_back()
        if isinstance(result, Coroutine):
            return cast("R", self._await(cast("Coroutine[object, object, object]", result)))
        return result

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorate *function*: each call is made through the breaker. Its signature stays."""
        check_retryable(function, "CircuitBreaker")
        if is_coroutine_function(function):
            awaited = cast("Callable[..., Coroutine[object, object, object]]", function)

            @wraps(function)
            async def guarded_async(*args: P.args, **kwargs: P.kwargs) -> object:
                return await self._call(partial(awaited, *args, **kwargs))

            return cast("Callable[P, R]", guarded_async)

        @wraps(function)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            return self.call(function, *args, **kwargs)

        return guarded

    def attempt(self) -> BreakerAttempt:
        """Guard a block: ``with breaker.attempt(): ...``, in synchronous and asynchronous code.

        Raises:
            CircuitBreakerOpenError: On entering; the block is not run.
        """
        return BreakerAttempt(self)

    async def _call(self, function: Callable[[], Coroutine[object, object, object]]) -> object:
        with self.attempt():
            return await function()

    async def _await(self, coroutine: Coroutine[object, object, object]) -> object:
        try:
            with self.attempt():
                return await coroutine
        finally:
            coroutine.close()  # refused, it was never begun

    # --- what attempts say -----------------------------------------------------------------------------

    def admit(self) -> Permit:
        """Give a permit for one attempt; `BreakerAttempt` does, for you.

        Raises:
            CircuitBreakerOpenError: None is to be had.
        """
        with self._lock:
            now = self._clock()
            permit = self._circuit.admit(now)
            is_probing = self._circuit.state is CircuitState.HALF_OPEN
            retry_after = None if is_probing else max(0.0, self._circuit.retry_at - now)
        self._tell()
        if permit is not None:
            return permit
        if is_probing:
            raise CircuitBreakerOpenError(self.name, "the circuit breaker is half-open and its probe is out")
        raise CircuitBreakerOpenError(self.name, retry_after=retry_after)

    def settle(self, permit: Permit, error: BaseException | None) -> None:
        """Take a permit back, with what the attempt raised; `BreakerAttempt` does, for you."""
        with self._lock:
            now = self._clock()
            if error is None:
                self._circuit.succeeded(permit, now)
            elif self._counts(error):
                hint = error.retry_after if isinstance(error, ProviderError) else None
                self._circuit.failed(permit, now, hint)
            else:
                self._circuit.released(permit, now)
        self._tell()

    def release(self, permit: Permit) -> None:
        """Take a permit back of an attempt that says nothing about the service."""
        with self._lock:
            self._circuit.released(permit, self._clock())

    def _counts(self, error: BaseException) -> bool:
        if not isinstance(error, Exception) or isinstance(error, RefusalError):
            return False  # a cancellation is no Exception, whatever else is expected
        if not isinstance(error, self._expected):
            return False
        return error.kind.counts_for_breaker if isinstance(error, ProviderError) else True

    def _tell(self) -> None:
        """Say what has changed, outside of the lock: a logger may take its time."""
        if not self._changes:
            return
        with self._lock:
            changes = list(self._changes)
            self._changes.clear()
            failures, retry_at = self._circuit.statistics().consecutive_failures, self._circuit.retry_at
            reason = self._circuit.reason
        for old, new, now in changes:
            self._calls.count_transition(self.name, old, new)
            self._calls.warning(
                "breaker.transition",
                provider=self.name,
                breaker=self.name,
                **{"from": old.name.lower(), "to": new.name.lower()},
                cause="auto",
                reason=reason if new is CircuitState.OPEN else None,
                failures=failures,
                next_probe_in=round(retry_at - now, 3) if new is CircuitState.OPEN else None,
            )


class BreakerAttempt:
    """One attempt through a breaker. Enter it once; what leaves its block is the verdict."""

    __slots__ = ("_breaker", "_permit")

    def __init__(self, breaker: CircuitBreaker) -> None:
        self._breaker = breaker
        self._permit: Permit | None = None

    def __enter__(self) -> Self:
        self._permit = self._breaker.admit()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        permit, self._permit = self._permit, None
        if permit is not None:
            self._breaker.settle(permit, error)

    def give_back(self) -> None:
        """Say that the attempt tells nothing about the service."""
        permit, self._permit = self._permit, None
        if permit is not None:
            self._breaker.release(permit)
