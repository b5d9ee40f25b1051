"""Other libraries that guard a call, each around the same bare function, in its usual settings.

They are no dependencies: ``pip install --group bench-peers``. Each is first tried on the backend at hand:
one that retries has to do so once, after a wait. Some wait with asyncio's own sleep, whatever loop runs.
"""

from __future__ import annotations

import gc
import warnings
from collections.abc import Awaitable, Callable
from datetime import timedelta
from importlib import import_module
from importlib.util import find_spec
from typing import cast

import anyio
import msgspec

Function = Callable[[], Awaitable[int]]
"""What is guarded, and what comes of it."""

ATTEMPTS = 3
WAIT = 0.001
"""Seconds before a retry: there is none but in the trial."""
TIMEOUT = 30.0
SLOTS = 8
FAILURES = 5
"""What opens a breaker."""


class PeerError(Exception):
    """A library cannot be compared with here; the text says why."""


class Peer(msgspec.Struct, frozen=True):
    """One library, or some together, in one setting."""

    name: str
    """Of the figure, after ``guarded_``."""
    needs: tuple[str, ...]
    """Modules."""
    what: str
    """The setting, in words."""
    wrap: Callable[[Function], Function]
    retries: bool = True


async def try_out(peer: Peer) -> Function:
    """Let *peer* guard a bare function.

    Raises:
        PeerError: It is not installed, or does not work on this backend.
    """
    missing = [module for module in peer.needs if find_spec(module) is None]
    if missing:
        raise PeerError(f"{', '.join(missing)} not installed: pip install --group bench-peers")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they leave coroutines unawaited where they fail
        problem = await _problem(peer)
        gc.collect()
    if problem:
        raise PeerError(f"fails on this backend: {problem}")
    return peer.wrap(_quote)


async def _problem(peer: Peer) -> str:
    try:
        reply = await peer.wrap(_failing_once() if peer.retries else _quote)()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is said
        return str(error) or type(error).__name__
    return "" if reply == 1 else f"answers {reply}"


async def _quote() -> int:
    return 1


def _failing_once() -> Function:
    failures = [ConnectionError("once")]

    async def quote() -> int:
        if failures:
            raise failures.pop()
        return 1

    return quote


# Their types are not ours to check: they need not be installed.


def _tenacity(function: Function) -> Function:
    tenacity = import_module("tenacity")
    wait = tenacity.wait_random_exponential(multiplier=WAIT, max=30.0)
    return cast("Function", tenacity.retry(stop=tenacity.stop_after_attempt(ATTEMPTS), wait=wait)(function))


def _stamina(function: Function) -> Function:
    stamina = import_module("stamina")
    retry = stamina.retry(on=ConnectionError, attempts=ATTEMPTS, wait_initial=WAIT)
    return cast("Function", retry(function))


def _hyx(function: Function) -> Function:
    retry = import_module("hyx.retry").retry
    return cast("Function", retry(on=ConnectionError, attempts=ATTEMPTS, backoff=WAIT)(function))


def _hyx_breaker(function: Function) -> Function:
    breaker = import_module("hyx.circuitbreaker").consecutive_breaker
    return cast("Function", breaker(failure_threshold=FAILURES)(function))


def _circuitbreaker(function: Function) -> Function:
    circuit = import_module("circuitbreaker").circuit
    return cast("Function", circuit(failure_threshold=FAILURES, recovery_timeout=30)(function))


def _purgatory(function: Function) -> Function:
    factory = import_module("purgatory").AsyncCircuitBreakerFactory(default_threshold=FAILURES)
    return cast("Function", factory("quote")(function))


def _aiobreaker(function: Function) -> Function:
    breaker = import_module("aiobreaker").CircuitBreaker
    return cast("Function", breaker(fail_max=FAILURES, timeout_duration=timedelta(seconds=30))(function))


def _pyresilience_stack(function: Function) -> Function:
    library = import_module("pyresilience")
    resilient = library.resilient(
        retry=library.RetryConfig(max_attempts=ATTEMPTS, delay=WAIT),
        timeout=library.TimeoutConfig(seconds=TIMEOUT),
        circuit_breaker=library.CircuitBreakerConfig(failure_threshold=FAILURES),
        fallback=library.FallbackConfig(handler=-1),
        bulkhead=library.BulkheadConfig(max_concurrent=SLOTS),
        retry_budget=library.RetryBudgetConfig(),
    )
    return cast("Function", resilient(function))


def _hyx_stack(function: Function) -> Function:
    limited = import_module("hyx.bulkhead").bulkhead(max_concurrency=SLOTS, max_capacity=1024)(function)
    timed = import_module("hyx.timeout").timeout(max_delay_secs=TIMEOUT)(limited)
    return _hyx(_hyx_breaker(timed))


def _aioresilience_stack(function: Function) -> Function:
    library = import_module("aioresilience")
    limited = library.bulkhead(max_concurrent=SLOTS, max_waiting=1024)(function)
    timed = library.timeout(TIMEOUT)(limited)
    broken = library.circuit_breaker("quote", failure_threshold=FAILURES)(timed)
    return cast("Function", library.retry(max_attempts=ATTEMPTS, initial_delay=WAIT)(broken))


def _stamina_stack(function: Function) -> Function:
    slots = anyio.Semaphore(SLOTS)

    async def limited() -> int:
        async with slots:
            with anyio.fail_after(TIMEOUT):
                return await function()

    return _stamina(_circuitbreaker(limited))


PEERS = (
    Peer("stamina", ("stamina",), "stamina.retry", _stamina),
    Peer("hyx", ("hyx",), "hyx.retry", _hyx),
    Peer("hyx_breaker", ("hyx",), "hyx.consecutive_breaker", _hyx_breaker, retries=False),
    Peer("circuitbreaker", ("circuitbreaker",), "circuitbreaker.circuit", _circuitbreaker, retries=False),
    Peer("purgatory", ("purgatory",), "purgatory's breaker", _purgatory, retries=False),
    Peer("aiobreaker", ("aiobreaker",), "aiobreaker's breaker", _aiobreaker, retries=False),
    Peer(
        "tenacity_purgatory",
        ("tenacity", "purgatory"),
        "tenacity around purgatory",
        lambda function: _tenacity(_purgatory(function)),
    ),
    Peer(
        "stamina_stack",
        ("stamina", "circuitbreaker"),
        "stamina, circuitbreaker, a semaphore and a timeout of anyio's",
        _stamina_stack,
    ),
    Peer("hyx_stack", ("hyx",), "hyx: retry, breaker, timeout, bulkhead", _hyx_stack),
    Peer(
        "pyresilience_stack",
        ("pyresilience",),
        "pyresilience: retry and its budget, timeout, breaker, bulkhead, fallback",
        _pyresilience_stack,
    ),
    Peer(
        "aioresilience_stack",
        ("aioresilience",),
        "aioresilience: retry, breaker, timeout, bulkhead",
        _aioresilience_stack,
    ),
)
