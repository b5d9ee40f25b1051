"""Errors of the supervisors: refused before it was sent, or failed at the provider."""

from __future__ import annotations

from typing import ClassVar, Self

from ..runtime import Ref, RefusalError, RelightError
from ._failures import FailureKind


class _ProviderRefusedError(RefusalError):
    default_reason: ClassVar[str]

    def __init__(self, provider: str, reason: str | None = None, *, retry_after: float | None = None) -> None:
        super().__init__(provider, reason or self.default_reason, retry_after=retry_after)


class CircuitBreakerOpenError(_ProviderRefusedError):
    """The provider kept failing, so it is left alone for a while."""

    default_reason = "the circuit breaker is open"

    def __init__(
        self,
        provider: str,
        reason: str | None = None,
        *,
        retry_after: float | None = None,
        is_forced: bool = False,
    ) -> None:
        super().__init__(provider, reason, retry_after=retry_after)
        self.is_forced = is_forced
        """An operator holds it open: waiting does not help."""


class ProviderBlockedError(_ProviderRefusedError):
    """The provider refuses the account: no quota, or a bad key. A person has to act."""

    default_reason = "blocked: check the account's quota and its key"


class ProviderFailedError(_ProviderRefusedError):
    """The service crashed more often than its restart intensity allows."""

    default_reason = "failed: it crashed too often, see its last crash"


class RateLimitedError(_ProviderRefusedError):
    """The provider asked for a pause that is longer than this call can wait."""

    default_reason = "paused by a rate limit for longer than this call can wait"


class BudgetExceededError(_ProviderRefusedError):
    """The call could cost more than its budget has left, or nobody knows what it costs."""

    default_reason = "the budget is spent"

    def __init__(
        self,
        provider: str,
        reason: str | None = None,
        *,
        retry_after: float | None = None,
        scope: str = "",
        window: str = "",
        limit_usd: float | None = None,
        spent_usd: float | None = None,
    ) -> None:
        super().__init__(provider, reason, retry_after=retry_after)
        self.scope = scope
        """Whose budget: a service's id, the name of an account, or a job, a user, a queue."""
        self.window = window
        """``minute`` or ``day``; empty where it is about a job's own, or a price that nobody knows."""
        self.limit_usd = limit_usd
        """US dollars that may be spent within it."""
        self.spent_usd = spent_usd
        """US dollars that were spent or reserved within it."""


class ProviderError(RelightError):
    """The call reached for the provider, and failed there.

    Services raise it in their handlers; it says everything that retry, breaker and gate need to know.

    Args:
        provider: Id of the provider.
        kind: What went wrong.
        detail: The provider's own words, where it had any.
        status: HTTP status.
        code: The provider's own error code or type.
        retry_after: The server's own hint in seconds; None when it gave none.
        attempts: How many attempts the call took.
        retryable: Overrides the kind for this one failure: False for a call that may have been
            carried out and must not be made twice.
    """

    def __init__(
        self,
        provider: str,
        kind: FailureKind,
        detail: str = "",
        *,
        status: int | None = None,
        code: str | None = None,
        retry_after: float | None = None,
        attempts: int = 1,
        retryable: bool | None = None,
    ) -> None:
        self.provider = provider
        self.kind = kind
        self.detail = detail
        self.status = status
        self.code = code
        self.retry_after = retry_after
        self.attempts = attempts
        self.retryable = retryable
        super().__init__(self._text())

    def _text(self) -> str:
        facts = [f"status {self.status}"] if self.status is not None else []
        facts += [self.code] if self.code else []
        where = f" ({', '.join(facts)})" if facts else ""
        words = f": {self.detail}" if self.detail else ""
        return f"{self.provider}: {self.kind}{where}{words}{_hint(self.retry_after)}"


class StreamBrokenError(ProviderError):
    """The stream ended early, after a part of it was delivered."""

    def __init__(
        self,
        provider: str,
        kind: FailureKind = FailureKind.STREAM_BROKEN,
        detail: str = "",
        *,
        partial: object = None,
        status: int | None = None,
        code: str | None = None,
        retry_after: float | None = None,
        attempts: int = 1,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(
            provider,
            kind,
            detail,
            status=status,
            code=code,
            retry_after=retry_after,
            attempts=attempts,
            retryable=retryable,
        )
        self.partial = partial
        """What came before the break, in the form the service delivers."""

    @classmethod
    def after(cls, error: ProviderError) -> StreamBrokenError:
        """Say of *error* that it broke a stream of which a part is out, so that it is not begun anew."""
        if not isinstance(error, StreamBrokenError):
            cause, error = (
                error,
                cls(
                    error.provider,
                    error.kind,
                    error.detail,
                    status=error.status,
                    code=error.code,
                    retry_after=error.retry_after,
                ),
            )
            error.__cause__ = cause
        error.retryable = False
        return error


class RetriesExhaustedError(ProviderError):
    """Every attempt failed. The last error is ``__cause__``."""

    @classmethod
    def after(
        cls, last: ProviderError, attempts: int, *, retry_after: float | None = None, because: str = ""
    ) -> Self:
        """Build it from the *last* error of a call that took this many attempts.

        *because* says why there was no other, where that is not the number of attempts.

        It is not retryable: a service that calls another one must not multiply its attempts.
        """
        tried = f"gave up after {attempts} attempt{'s' if attempts > 1 else ''}"
        if because:
            tried = f"{tried}, {because}"
        error = cls(
            last.provider,
            last.kind,
            f"{tried}: {last.detail}" if last.detail else tried,
            status=last.status,
            code=last.code,
            retry_after=last.retry_after if retry_after is None else retry_after,
            attempts=attempts,
            retryable=False,
        )
        error.__cause__ = last
        return error


class SupervisionError(RelightError):
    """A supervisor could not do what it was asked to."""


class ChildSpecError(SupervisionError, ValueError):
    """A child spec or a supervisor's options are wrong. Refused when built, never at the first crash."""

    def __init__(self, field: str, value: object, remedy: str) -> None:
        super().__init__(f"{field} {remedy}, got {value!r}")
        self.field = field
        """The field, as ``Child.shutdown``."""
        self.value = value
        self.remedy = remedy
        """What it must be."""


class _ChildError(SupervisionError):
    problem: ClassVar[str]

    def __init__(self, supervisor: str, child: str) -> None:
        super().__init__(f"{supervisor}: child {child!r} {self.problem}")
        self.supervisor = supervisor
        """Path of the supervisor."""
        self.child = child
        """Id of the child."""


class AlreadyStartedError(_ChildError):
    """A child of this id is running; ``ref`` is its ref."""

    problem = "is already running: stop it first, or choose another id"

    def __init__(self, supervisor: str, child: str, ref: Ref) -> None:
        super().__init__(supervisor, child)
        self.ref = ref
        """The running child."""


class AlreadyPresentError(_ChildError):
    """A child of this id is known but not running."""

    problem = "is known but not running: restart it, or delete it first"


class ChildRunningError(_ChildError):
    """The child must be stopped for this."""

    problem = "is running: terminate it first"


class ChildRestartingError(_ChildError):
    """The child is between two incarnations."""

    problem = "is restarting: wait, or terminate it first"


class ChildNotFoundError(_ChildError):
    """The supervisor has no such child."""

    problem = "is not known here"


class MaxChildrenError(_ChildError):
    """The dynamic supervisor has as many children as it may."""

    problem = "is one too many: stop another first, or raise max_children"

    def __init__(self, supervisor: str, child: str, max_children: int) -> None:
        super().__init__(supervisor, child)
        self.max_children = max_children
        """How many there may be."""


class RestartIntensityError(SupervisionError):
    """A child had to be restarted more often than its supervisor allows, so the supervisor gave up."""

    def __init__(self, supervisor: str, child: str, intensity: int, period: float) -> None:
        limit = f"more than {intensity} restarts within {period:g} s"
        super().__init__(f"{supervisor}: gave up: child {child!r} needed {limit}")
        self.supervisor = supervisor
        self.child = child
        """The child whose exit was one too many."""
        self.intensity = intensity
        self.period = period


def refused_on_the_way(provider: str, refusal: RefusalError) -> ProviderError:
    """Say that a call failed because a service that its handler asked refused it."""
    error = ProviderError(
        provider, FailureKind.REFUSED, str(refusal), retry_after=refusal.retry_after, retryable=False
    )
    error.__cause__ = refusal
    return error


def _hint(wait: float | None) -> str:
    if wait is None:
        return ""
    # Whole seconds from 1,000 on: "2.06e+04 s" is no wait that people understand.
    return f"; try again in {wait:{'.3g' if wait < 999.5 else '.0f'}} s"
