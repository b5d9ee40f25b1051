"""How often a job is tried, and how long it waits in between. Pure: values in, a decision out."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

import msgspec

from ....runtime import DeadlineExceededError, RefusalError
from ....supervisors import ProviderError
from ....supervisors.policies import Backoff, Exponential

# A refusal may say "now": without a floor a job would ask in a tight loop.
_SHORTEST_WAIT: Final = 0.1
# A half-open breaker can't say when its probe will be back.
_UNKNOWN_WAIT: Final = 1.0


@dataclass(frozen=True, slots=True)
class WaitFor:
    """Try the job again."""

    seconds: float
    """How long to wait before."""
    is_spent: bool
    """Whether the attempt that just ended counts."""


@dataclass(frozen=True, slots=True)
class Bury:
    """Give the job up."""

    reason: str
    """Why, in one line."""


class Attempts(msgspec.Struct, frozen=True, kw_only=True):
    """How often a job is tried.

    Providers retry their own calls; this is for what is left when they have given up.
    """

    attempts: int = 5
    """How often in all, 1..10. A refusal is not counted: nothing was tried."""
    backoff: Backoff = msgspec.field(default_factory=lambda: Exponential(1.0, cap=30.0))
    """How long to wait after an attempt that counts."""
    deadline: float = 900.0
    """Seconds a job may take in all, waits included."""

    def __post_init__(self) -> None:
        if not 1 <= self.attempts <= 10:
            raise ValueError(f"Attempts.attempts must be 1..10, got {self.attempts}")
        if not self.deadline > 0:
            raise ValueError(f"Attempts.deadline must be more than 0 seconds, got {self.deadline}")

    def decide(self, error: Exception, attempt: int, time_left: float, rng: Random) -> WaitFor | Bury:
        """Say what becomes of a job whose attempt number *attempt* ended with *error*."""
        if is_refusal(error):
            # Spread by a tenth, so that a hundred waiting jobs don't knock in the same moment.
            wait = WaitFor(wanted_wait(error) * rng.uniform(1.0, 1.1), is_spent=False)
        elif _is_hopeless(error) or attempt >= self.attempts:
            return Bury(_reason(error))
        else:
            wait = WaitFor(self.backoff.wait(attempt, rng), is_spent=True)
        if wait.seconds >= time_left:
            return Bury(f"no time left to wait {wait.seconds:.3g} s more: {_reason(error)}")
        return wait


def is_refusal(error: Exception) -> bool:
    """Tell whether nothing was tried, as the provider takes no calls now. A deadline is the caller's own."""
    return isinstance(error, RefusalError) and not isinstance(error, DeadlineExceededError)


def wanted_wait(error: Exception) -> float:
    """Return the seconds a refusal asks to wait, made up where it can't know."""
    asked = error.retry_after if isinstance(error, RefusalError) else None
    return _UNKNOWN_WAIT if asked is None else max(asked, _SHORTEST_WAIT)


def _is_hopeless(error: Exception) -> bool:
    """Tell whether the same request can only fail again: not the provider is at fault, but what it says."""
    if not isinstance(error, ProviderError):
        return False
    return not (error.kind.is_retryable or error.kind.blocks_provider)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
