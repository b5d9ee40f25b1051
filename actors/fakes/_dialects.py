"""What a fake has to know about one provider's way of speaking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from ._limits import RateView
from ._plan import FaultKind
from ._replies import Hint, Reply
from ._steps import Step


class Route(msgspec.Struct, frozen=True):
    """One path of a provider, in Starlette's notation, and the name of what it does."""

    method: str
    path: str
    operation: str
    streams: bool = False
    """The path itself asks for a stream; elsewhere ``"stream": true`` in the body does."""
    is_seated: bool = False
    """Whether it counts against the limit of requests at the same time."""
    is_public: bool = False
    """Whether it needs no key; then it costs no money and has no place in the rate limit."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A request, read completely."""

    operation: str
    method: str
    path: str
    params: Mapping[str, str]
    """The variable parts of the path."""
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    query: Sequence[tuple[str, str]] = ()
    """What follows the question mark; a name may come more than once."""
    is_public: bool = False
    """It needs no key and costs no money."""
    is_seated: bool = False
    """It counts against the limit of requests at the same time."""
    is_oversized: bool = False
    """The body was larger than the fake reads; it is not kept."""
    streams: bool = False
    """The answer is to come as a stream."""


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    """What an ordinary answer depends on beside the request."""

    number: int
    """Of this request among all of them, from 1."""
    now: float
    """Seconds since the fake opened."""
    step: Step = Step()
    """The script's wishes; an empty step has none."""
    fault: FaultKind | None = None
    """A job's fault: JOB_FAILED or COLD_START."""
    run_seconds: float = 0.0
    """How long a job runs."""


class Dialect(Protocol):
    """One provider: its paths, its answers, its errors and its headers. It does no I/O."""

    routes: tuple[Route, ...]
    seats: int | None
    """Requests it deals with at the same time, of those that are limited; None: as many as come."""

    def is_authorized(self, headers: Mapping[str, str]) -> bool:
        """Tell whether *headers* carry the key."""
        ...

    def answer(self, call: Call, circumstances: Circumstances) -> Reply:
        """Answer *call* as the provider would, errors of the caller included."""
        ...

    def refuse(self, kind: FaultKind, request_id: str, hint: Hint) -> Reply:
        """Build the error *kind*; a RATE_LIMIT carries *hint*."""
        ...

    def headers(self, request_id: str, rate: RateView, hint: Hint, seconds: float) -> dict[str, str]:
        """Return the headers every reply of the provider has, after *seconds* of work."""
        ...

    def jobs(self, now: float) -> dict[str, int]:
        """Count the jobs by status; empty where there are none."""
        ...


def bearer(headers: Mapping[str, str]) -> str:
    """Return the key in the Authorization header, "" if there is none."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""
