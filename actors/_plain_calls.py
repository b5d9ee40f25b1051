"""Plain calls: what retrying functions and circuit breakers outside of actors did, for metrics and logs."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from weakref import WeakValueDictionary

from ..runtime import Listener, event_logger
from ..supervisors import NestedRetries
from ..supervisors.policies import CircuitState

if TYPE_CHECKING:
    from ._circuit_breaker import CircuitBreaker

MOST_OPERATIONS = 256
"""Operations that are counted apart; what comes beyond is counted as ``other``."""


@dataclass(frozen=True, slots=True)
class PlainCallStatistics:
    """What became of the calls of one operation."""

    provider: str
    """What it calls, where its decorator says."""
    operation: str
    """Its name."""
    calls: Mapping[str, int]
    """Calls that have ended: ``ok``, ``retried_ok``, ``failed``, ``cancelled``."""
    attempts: int
    """Times the function was called."""
    retries: Mapping[tuple[str, str], int]
    """Retries that have ended, by the reason of the attempt before and by ``success``, ``failed`` or
    ``cancelled``."""
    failures: Mapping[str, int]
    """Attempts that failed, by reason."""
    wait_seconds: float
    """Seconds calls were told to wait before a retry, in all."""


class CallCounts:
    """The counters of one operation. Any thread may write them."""

    def __init__(self, provider: str, operation: str) -> None:
        self.provider = provider
        self.operation = operation
        self._lock = threading.Lock()
        self._calls: Counter[str] = Counter()
        self._attempts = 0
        self._retries: Counter[tuple[str, str]] = Counter()
        self._failures: Counter[str] = Counter()
        self._wait_seconds = 0.0

    def attempt_ended(self, before: str, outcome: str, reason: str = "") -> None:
        """Count one attempt; *before* is the reason of the failed one before it, if it is a retry."""
        with self._lock:
            self._attempts += 1
            if before:
                self._retries[before, outcome] += 1
            if reason:
                self._failures[reason] += 1

    def waited(self, seconds: float) -> None:
        """Count a wait."""
        with self._lock:
            self._wait_seconds += seconds

    def call_ended(self, outcome: str) -> None:
        """Count one call."""
        with self._lock:
            self._calls[outcome] += 1

    def statistics(self) -> PlainCallStatistics:
        """Return the counts at this moment."""
        with self._lock:
            return PlainCallStatistics(
                self.provider,
                self.operation,
                dict(self._calls),
                self._attempts,
                dict(self._retries),
                dict(self._failures),
                self._wait_seconds,
            )


class Voice(Protocol):
    """Where events are said: here, or in a system."""

    def info(self, event: str, /, **fields: object) -> None:
        """Say something that is as it should be."""
        ...

    def warning(self, event: str, /, **fields: object) -> None:
        """Say something a person may want to look at."""
        ...


class PlainCalls:
    """Count the calls that no guard sees, and say what happens to them.

    Decorators and breakers share `PLAIN_CALLS`, as they are made when modules are imported, before there
    is a system. Give them one of their own to keep a test or a library apart.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str], CallCounts] = {}
        self._breakers: WeakValueDictionary[str, CircuitBreaker] = WeakValueDictionary()
        self._transitions: Counter[tuple[str, CircuitState, CircuitState]] = Counter()
        self._nested = NestedRetries()
        self._listeners: list[Listener] = []

    def counts(self, provider: str, operation: str) -> CallCounts:
        """Return the counters of an operation: the same ones for the same names."""
        with self._lock:
            found = self._counts.get((provider, operation))
            if found is None:
                if len(self._counts) >= MOST_OPERATIONS:
                    provider, operation = "", "other"
                found = self._counts.setdefault((provider, operation), CallCounts(provider, operation))
            return found

    def add_breaker(self, breaker: CircuitBreaker) -> None:
        """Show a breaker's state as long as it lives. Of two with one name the newer is shown."""
        with self._lock:
            self._breakers[breaker.name] = breaker

    def breakers(self) -> list[CircuitBreaker]:
        """List the breakers."""
        with self._lock:
            return list(self._breakers.values())

    def breaker_transitions(self) -> dict[tuple[str, CircuitState, CircuitState], int]:
        """Count the changes of breakers' states: by name, old state, new state."""
        with self._lock:
            return dict(self._transitions)

    def count_transition(self, name: str, old: CircuitState, new: CircuitState) -> None:
        """Count a breaker's change of state."""
        with self._lock:
            self._transitions[name, old, new] += 1

    def statistics(self) -> list[PlainCallStatistics]:
        """Look at every operation."""
        with self._lock:
            counts = list(self._counts.values())
        return [each.statistics() for each in counts]

    # --- what is said ------------------------------------------------------------------------------

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call *listener* for each event from now on, in the thread it happens in; returns what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def info(self, event: str, /, **fields: object) -> None:
        """Say something that is as it should be."""
        event_logger().info(event, **fields)
        self._tell(event, fields)

    def warning(self, event: str, /, **fields: object) -> None:
        """Say something a person may want to look at."""
        event_logger().warning(event, **fields)
        self._tell(event, fields)

    def warn_nested(self, outer: str, inner: str, events: Voice | None = None) -> None:
        """Say, once, that a layer of retries stands inside another one; to *events*, or here."""
        self._nested.warn(events or self, outer, inner)

    def _tell(self, event: str, fields: Mapping[str, object]) -> None:
        for listener in tuple(self._listeners):
            try:
                listener(event, fields)
            except Exception:  # noqa: BLE001 - a user's code
                self._listeners.remove(listener)  # what only watches a call must not end it
                event_logger().exception("events.listener_failed", event_name=event)


PLAIN_CALLS = PlainCalls()
"""Of the whole process."""
