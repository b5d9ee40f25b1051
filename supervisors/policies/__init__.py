"""Policies: what to do about a failure, as plain values.

A policy is pure. Values and *now* go in, a decision comes out: nothing here waits, sends, logs or
looks at a clock, so hours of failure are tested in milliseconds.

    `Policy` bundles what one service needs:
    `Retry` decides whether a call is made again, and `Exponential`, `Decorrelated` or `Fixed` how long it
    waits;
    `Breaker` leaves a service alone that keeps failing (its machine is a `Circuit`);
    `Concurrency` caps the attempts in flight, `Adaptive` finds the cap (their counter is a `Bulkhead`);
    `Gate` holds everybody back while the provider asked for a pause.

Specs are frozen and checked when they are built; the machines they make hold the state.
"""

from ...runtime import claim
from ._adaptive import Adaptive
from ._backoff import Backoff, Decorrelated, Exponential, Fixed, flaw_of, wait_of
from ._breaker import Breaker
from ._circuit import Circuit, CircuitStatistics, TransitionCause
from ._circuit_state import CircuitState, Forced, OpenReason
from ._circuit_states import Permit
from ._concurrency import Bulkhead, BulkheadStatistics, Concurrency
from ._gate import Gate, GateStatistics
from ._policy import Policy
from ._retry import GiveUp, Retry, RetryIn

__all__ = [
    "Adaptive",
    "Backoff",
    "Breaker",
    "Bulkhead",
    "BulkheadStatistics",
    "Circuit",
    "CircuitState",
    "CircuitStatistics",
    "Concurrency",
    "Decorrelated",
    "Exponential",
    "Fixed",
    "Forced",
    "Gate",
    "GateStatistics",
    "GiveUp",
    "OpenReason",
    "Permit",
    "Policy",
    "Retry",
    "RetryIn",
    "TransitionCause",
    "flaw_of",
    "wait_of",
]

claim(globals())
