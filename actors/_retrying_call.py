"""One call with retries: what is decided, counted and said about its attempts."""

from __future__ import annotations

from contextvars import Token
from dataclasses import dataclass, field
from math import inf
from random import Random
from secrets import token_hex
from types import TracebackType
from typing import Self

import anyio
from structlog.contextvars import bind_contextvars, get_contextvars, reset_contextvars

from ..runtime import RelightError, current_request, redact, text_of
from ..supervisors import current_attempt, enclosing_retry_layer, retry_layer
from ..supervisors.policies import GiveUp, Retry
from ._plain_calls import CallCounts, PlainCalls, Voice
from ._retry_config import RetryConfig

_WHY = {
    "kind": "such an error is not retried",
    "attempts": "no attempt is left",
    "wait_too_long": "the next one would have to wait for longer than max_wait",
    "deadline": "the next one would come after the deadline",
}


@dataclass(frozen=True)
class RetryingLayer:
    """What all calls of one retrying function have in common. Nothing of it changes."""

    name: str
    """Of the layer, for people."""
    operation: str
    """For logs and metrics."""
    config: RetryConfig
    rng: Random
    calls: PlainCalls
    provider: str = ""
    inside: str = ""
    """What retries on its own within it; empty where nothing does."""
    events: Voice | None = None
    """Where its events are said; None: in *calls*."""
    policy: Retry = field(init=False)
    counts: CallCounts = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "policy", self.config.policy())
        object.__setattr__(self, "counts", self.calls.counts(self.provider, self.operation))

    @property
    def voice(self) -> Voice:
        """Where its events are said."""
        return self.calls if self.events is None else self.events


class RetryingCall:
    """Go through the attempts of one call. A context manager around all of them."""

    __slots__ = ("_before", "_correlation", "_layer", "_token", "attempts", "correlation_id", "is_over")

    def __init__(self, layer: RetryingLayer) -> None:
        self._layer = layer
        self._token: Token[str] | None = None
        self._correlation: dict[str, Token[object]] = {}
        self._before = ""
        self.attempts = 1
        """The number of the attempt under way."""
        self.correlation_id = ""
        self.is_over = False

    def __enter__(self) -> Self:
        layer, outer = self._layer, enclosing_retry_layer()
        if layer.inside:
            layer.calls.warn_nested(layer.name, layer.inside, layer.events)
        if outer:
            layer.calls.warn_nested(outer, layer.name, layer.events)
        self._token = retry_layer.set(layer.name)
        self.correlation_id = _correlation_id()
        self._correlation = dict(bind_contextvars(correlation_id=self.correlation_id))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.is_over:  # cancelled, or the process is interrupted
            self._layer.counts.attempt_ended(self._before, "cancelled")
            self._layer.counts.call_ended("cancelled")
        reset_contextvars(**self._correlation)
        if self._token is not None:
            retry_layer.reset(self._token)

    def succeeded(self) -> None:
        """Note that the attempt went well."""
        self.is_over = True
        counts = self._layer.counts
        counts.attempt_ended(self._before, "success")
        counts.call_ended("ok" if self.attempts == 1 else "retried_ok")
        if self.attempts > 1:
            self._layer.voice.info("retry.succeeded", **self._facts())

    def failed(self, error: Exception, left: float = inf) -> float | None:
        """Decide what follows a failed attempt: the seconds to wait, or None where the call has failed.

        Args:
            error: What the attempt raised.
            left: Seconds to the deadline.
        """
        layer = self._layer
        failure = layer.config.read(error)
        layer.counts.attempt_ended(self._before, "failed", failure.reason)
        decision = layer.policy.decide(
            failure.kind,
            self.attempts,
            retryable=failure.retryable,
            retry_after=failure.retry_after,
            time_left=left,
            rng=layer.rng,
        )
        facts = {**self._facts(), "reason": failure.reason, "error_type": type(error).__name__}
        if isinstance(decision, GiveUp):
            self._given_up(error, decision, facts)
            return None
        layer.counts.waited(decision.wait)
        layer.voice.info("retry.scheduled", **facts, delay_s=round(decision.wait, 3), error=_said(error))
        self._before = failure.reason
        self.attempts += 1
        return decision.wait

    def _given_up(self, error: Exception, decision: GiveUp, facts: dict[str, object]) -> None:
        self.is_over = True
        self._layer.counts.call_ended("failed")
        if self.attempts == 1 and decision.reason in ("kind", "attempts"):
            return  # nothing was retried: the error speaks for itself
        most = self._layer.policy.attempts
        why = _WHY[decision.reason]
        note = f"{self._layer.operation}: failed in attempt {self.attempts} of {most}: {why}"
        if note not in getattr(error, "__notes__", ()):
            error.add_note(note)
        self._layer.voice.warning(
            "retry.exhausted",
            **facts,
            cause=decision.reason,
            retry_after=decision.retry_after,
            error=_said(error),
        )

    def _facts(self) -> dict[str, object]:
        return {
            "operation": self._layer.operation,
            "attempt": self.attempts,
            "correlation_id": self.correlation_id,
        }


def time_left() -> float:
    """Return the seconds until the code that runs is cancelled, or nobody waits for it any more."""
    due = anyio.current_effective_deadline()
    request = current_request.get()
    if request is not None and not request.done:
        due = min(due, request.limit)
    return due - anyio.current_time()


def _correlation_id() -> str:
    bound = get_contextvars().get("correlation_id")
    if bound is not None:
        return str(bound)
    try:
        return current_attempt().correlation_id
    except RelightError:  # in no handler of a service
        return token_hex(8)


def _said(error: Exception) -> str:
    return redact(text_of(error))
