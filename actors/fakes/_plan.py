"""Which fault a request gets: a pure function of the seed, the operation and the request's number."""

import enum
from collections.abc import Mapping
from random import Random
from types import MappingProxyType

import msgspec

from ._ranges import check_range


class FaultKind(enum.StrEnum):
    """What a fake can do to a request instead of answering it."""

    RATE_LIMIT = "rate_limit"
    """429 with a hint how long to wait."""
    RATE_LIMIT_BARE = "rate_limit_bare"
    """429 without a Retry-After header."""
    CONCURRENCY = "concurrency"
    """429: too many requests at the same time."""
    SLOW_DOWN = "slow_down"
    """429: the load grew too fast."""
    TOO_LARGE = "too_large"
    """The request is larger than the limit: it never passes."""
    QUOTA = "quota"
    """The money is spent."""
    AUTH = "auth"
    """The key is wrong."""
    BAD_REQUEST = "bad_request"
    """The request is malformed."""
    CONTEXT_LENGTH = "context_length"
    """The prompt is longer than the model reads."""
    CONTENT_POLICY = "content_policy"
    """The prompt is not allowed."""
    NOT_FOUND = "not_found"
    """No such model, path or job."""
    SERVER_ERROR = "server_error"
    """500."""
    UNAVAILABLE = "unavailable"
    """503."""
    OVERLOADED = "overloaded"
    """529 of Anthropic; the others say 503."""
    HTML_ERROR = "html_error"
    """502 of a gateway, with a page of HTML."""
    HANG = "hang"
    """No byte of an answer until the client leaves."""
    RESET = "reset"
    """The connection is reset before any work is done."""
    BROKEN_JSON = "broken_json"
    """200, the work is done, and the body ends in the middle of the JSON."""
    TRUNCATED = "truncated"
    """200, and the connection closes in the middle of the body."""
    JOB_FAILED = "job_failed"
    """RunPod takes the job, and the job fails."""
    COLD_START = "cold_start"
    """RunPod takes the job, and a worker has to boot first."""
    WRONG_LENGTH = "wrong_length"
    """200, and the content-length is smaller than the body."""
    STREAM_ERROR = "stream_error"
    """An event in the stream says that the answer failed; nothing follows."""
    STREAM_RESET = "stream_reset"
    """The connection is reset in the middle of the stream."""
    STREAM_ENDS = "stream_ends"
    """The stream ends early and cleanly: nothing says that the answer is complete."""
    STREAM_STALL = "stream_stall"
    """The stream falls silent until the client leaves."""
    STREAM_PINGS = "stream_pings"
    """Nothing but pings follows until the client leaves."""
    RESPONSE_FAILED = "response_failed"
    """OpenAI's Responses: 200, and the response's own status is ``failed``; elsewhere as STREAM_ERROR."""


class RetryAfterForm(enum.StrEnum):
    """How a 429 says when to come back."""

    SECONDS = "seconds"
    """``retry-after: 2``, rounded up."""
    FLOAT = "float"
    """``retry-after: 1.5``."""
    DATE = "date"
    """``retry-after: Wed, 21 Oct 2026 07:28:00 GMT``, rounded up to a full second."""
    MILLISECONDS = "milliseconds"
    """``retry-after-ms: 1500``."""
    ZERO = "zero"
    """``retry-after: 0``, whatever is meant."""
    NEGATIVE = "negative"
    """``retry-after: -1``."""
    HOUR = "hour"
    """``retry-after: 3600``."""
    JUNK = "junk"
    """``retry-after: soon``."""


DEFAULT_WEIGHTS: Mapping[FaultKind, float] = MappingProxyType(
    {
        FaultKind.RATE_LIMIT: 3.0,
        FaultKind.RATE_LIMIT_BARE: 1.0,
        FaultKind.SERVER_ERROR: 2.0,
        FaultKind.UNAVAILABLE: 2.0,
        FaultKind.OVERLOADED: 2.0,
        FaultKind.HANG: 1.0,
        FaultKind.RESET: 2.0,
        FaultKind.BROKEN_JSON: 1.0,
        FaultKind.JOB_FAILED: 2.0,
        FaultKind.COLD_START: 1.0,
        FaultKind.STREAM_ERROR: 2.0,
        FaultKind.STREAM_RESET: 2.0,
        FaultKind.STREAM_ENDS: 1.0,
        FaultKind.STREAM_STALL: 1.0,
    }
)
"""Faults that pass: a client that retries sensibly outlives every one of them."""

_JOB_KINDS = frozenset({FaultKind.JOB_FAILED, FaultKind.COLD_START})
STREAM_KINDS = frozenset(
    {
        FaultKind.STREAM_ERROR,
        FaultKind.STREAM_RESET,
        FaultKind.STREAM_ENDS,
        FaultKind.STREAM_STALL,
        FaultKind.STREAM_PINGS,
        FaultKind.RESPONSE_FAILED,
    }
)
"""Faults in the middle of a stream. A plan keeps them for streams; a script may give them to any reply."""


class FaultPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Decide which requests of a fake fail, and how.

    The fault of the n-th request to an operation depends on nothing but the seed, the provider, the
    operation and n. Polling more or less often therefore moves no fault to another submitted job.
    """

    rate: float = 0.0
    """Share of the requests that get a fault, 0 to 1."""
    seed: int = 0
    weights: Mapping[FaultKind, float] = msgspec.field(default_factory=lambda: dict(DEFAULT_WEIGHTS))
    """How often each kind, relative to the others. A kind the operation cannot show is left out."""
    hang_seconds: float = 30.0
    """After these a hanging request's connection is closed."""
    retry_after_seconds: float = 1.0
    """What a 429 asks to wait."""
    retry_after_forms: tuple[RetryAfterForm, ...] = (RetryAfterForm.SECONDS,)
    """One of these forms is drawn for each 429."""

    def __post_init__(self) -> None:
        check_range("FaultPlan.rate", self.rate, 0.0, 1.0)
        check_range("FaultPlan.hang_seconds", self.hang_seconds, 0.01, 600.0)
        check_range("FaultPlan.retry_after_seconds", self.retry_after_seconds, 0.001, 86_400.0)
        for kind, weight in self.weights.items():
            check_range(f"FaultPlan.weights[{str(kind)!r}]", weight, 0.0, 1e9)
        if not self.retry_after_forms:
            raise ValueError("FaultPlan.retry_after_forms must name at least one form, got ()")

    def fault(self, provider: str, operation: str, number: int, *, streams: bool = False) -> FaultKind | None:
        """Return the fault of request *number* (from 1) to *operation*; None: it is answered.

        Whoever asks for a stream (*streams*) may get the faults of streams, too.
        """
        rng = _rng(self.seed, provider, operation, number)
        if rng.random() >= self.rate:
            return None
        return _draw(self._kinds(provider, operation, streams=streams), rng.random())

    def form(self, provider: str, operation: str, number: int) -> RetryAfterForm:
        """Return the form in which that request, if it is a 429, says when to come back."""
        rng = _rng(self.seed, provider, f"{operation}/form", number)
        return self.retry_after_forms[int(rng.random() * len(self.retry_after_forms))]

    def between(self, bounds: tuple[float, float], provider: str, purpose: str, number: int) -> float:
        """Draw a duration in seconds from *bounds*, as reproducible as the faults are."""
        low, high = bounds
        return low + (high - low) * _rng(self.seed, provider, purpose, number).random()

    def _kinds(self, provider: str, operation: str, *, streams: bool) -> list[tuple[FaultKind, float]]:
        return [
            (kind, weight)
            for kind, weight in sorted(self.weights.items())
            if weight > 0.0 and _can_show(provider, operation, kind, streams=streams)
        ]


def _can_show(provider: str, operation: str, kind: FaultKind, *, streams: bool) -> bool:
    if kind in _JOB_KINDS:
        return operation in {"run", "retry"}
    if kind is FaultKind.RESPONSE_FAILED:
        return operation == "responses"
    if kind in STREAM_KINDS:
        return streams
    return kind is not FaultKind.OVERLOADED or provider == "anthropic"


def _rng(seed: int, *stream: object) -> Random:
    # Text seeds are hashed (SHA-512), so neighbouring numbers are unrelated; the first values of
    # random() are the same in every Python version, those of choices() are not promised.
    return Random("/".join(map(str, (seed, *stream))))


def _draw(kinds: list[tuple[FaultKind, float]], point: float) -> FaultKind | None:
    left = point * sum(weight for _, weight in kinds)
    for kind, weight in kinds:
        left -= weight
        if left < 0.0:
            return kind
    return None
