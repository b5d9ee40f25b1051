"""Policies: what to do about a failure, as plain values.

A policy is pure. Values and *now* go in, a decision comes out: nothing here waits, sends, logs or
looks at a clock, so hours of failure are tested in milliseconds.

    `Policy` bundles what one service needs, and `OperationPolicy` what one kind of message needs otherwise:
    `Retry` decides whether a call is made again, and `Exponential`, `Decorrelated` or `Fixed` how long it
    waits;
    `Breaker` leaves a service alone that keeps failing (its machine is a `Circuit`);
    `Concurrency` caps the attempts in flight, `Adaptive` finds the cap (their counter is a `Bulkhead`);
    `Fallback` decides whether the next provider is asked;
    `Gate` holds everybody back while the provider asked for a pause;
    `RateLimit` begins no more calls than the provider takes (its machine is a `RateLimiter`);
    `RetryBudget` bounds the retries of all calls together (its machine is a `RetryLedger`);
    `CostBudget` bounds the money (its machine is a `Purse`).

Specs are frozen and checked when they are built; the machines they make hold the state.
"""

from ...runtime import claim
from ._adaptive import Adaptive
from ._backoff import Backoff, Decorrelated, Exponential, Fixed, Jitter, flaw_of, wait_of
from ._breaker import Breaker
from ._circuit import Circuit, CircuitStatistics, TransitionCause
from ._circuit_state import CircuitState, Forced, OpenReason
from ._circuit_states import Permit
from ._concurrency import Bulkhead, BulkheadStatistics, Concurrency
from ._cost_budget import CostBudget, Purse, PurseStatistics, Shortfall, Unpriced, shortfall_of
from ._fallback import Fallback
from ._gate import Gate, GateStatistics
from ._operation import OperationPolicy
from ._policy import Policy
from ._rate_limit import Allowance, RateLimit, RateLimiter, RateLimiterStatistics, RateReport
from ._retry import GiveUp, Retry, RetryIn
from ._retry_budget import RetryBudget, RetryBudgetStatistics, RetryLedger
from ._sliding import SlidingSum

__all__ = [
    "Adaptive",
    "Allowance",
    "Backoff",
    "Breaker",
    "Bulkhead",
    "BulkheadStatistics",
    "Circuit",
    "CircuitState",
    "CircuitStatistics",
    "Concurrency",
    "CostBudget",
    "Decorrelated",
    "Exponential",
    "Fallback",
    "Fixed",
    "Forced",
    "Gate",
    "GateStatistics",
    "GiveUp",
    "Jitter",
    "OpenReason",
    "OperationPolicy",
    "Permit",
    "Policy",
    "Purse",
    "PurseStatistics",
    "RateLimit",
    "RateLimiter",
    "RateLimiterStatistics",
    "RateReport",
    "Retry",
    "RetryBudget",
    "RetryBudgetStatistics",
    "RetryIn",
    "RetryLedger",
    "Shortfall",
    "SlidingSum",
    "TransitionCause",
    "Unpriced",
    "flaw_of",
    "shortfall_of",
    "wait_of",
]

claim(globals())
