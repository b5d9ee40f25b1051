"""The brain of one fake: number the requests, choose what each meets, keep the log.

It does no I/O and does not wait: the web application does both, as told by the Verdict.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec

from ._answers import count_tokens
from ._anthropic import AnthropicDialect, request_identity
from ._courses import Course
from ._dialects import Call, Dialect
from ._elevenlabs import ElevenLabsDialect
from ._errors import check_error, error_names
from ._limits import Quota, RateBuckets, RateView, Seats
from ._log import BODY_LIMIT, Ending, FakeStatistics, LogEntry, RequestLog, without_secrets
from ._openai import OpenAIDialect
from ._options import FakeSpec
from ._outages import Outage, OutageClock
from ._outcomes import Outcomes
from ._plan import FaultKind, FaultPlan, RetryAfterForm
from ._replies import Hint, Reply, Stream
from ._runpod import RunPodDialect
from ._scenarios import Scenarios
from ._steps import Script, Step
from ._supabase import SupabaseDialect
from ._verdicts import Verdict

_DIALECTS: Final[Mapping[str, Callable[[FakeSpec], Dialect]]] = {
    "openai": OpenAIDialect,
    "anthropic": AnthropicDialect,
    "runpod": RunPodDialect,
    "elevenlabs": ElevenLabsDialect,
    "supabase": SupabaseDialect,
}
_HANGING = frozenset({FaultKind.HANG, FaultKind.STREAM_STALL, FaultKind.STREAM_PINGS})
_OUTAGE_KINDS: Final[Mapping[int | None, FaultKind]] = {
    None: FaultKind.RESET,
    500: FaultKind.SERVER_ERROR,
    502: FaultKind.HTML_ERROR,
    503: FaultKind.UNAVAILABLE,
    529: FaultKind.OVERLOADED,
}


class Fake:
    """One provider's fake, without its web server."""

    def __init__(self, spec: FakeSpec, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.spec = spec
        self.plan = spec.plan
        self._clock = clock
        self._names = error_names(spec.provider)
        self._open()

    def _open(self) -> None:
        self._opened_at = self._clock()
        self.dialect = _DIALECTS[self.spec.provider](self.spec)
        self._outcomes = Outcomes(self.spec, self.dialect)
        self._log = RequestLog()
        self._places: Counter[str] = Counter()
        self._script = Script()
        self._scenarios = Scenarios(self._names)
        self._outages = OutageClock(self.spec.outages, 0.0)
        self._quota = Quota(self.spec.options.quota)
        options = self.spec.options
        self._buckets = RateBuckets(options.requests_per_minute, options.tokens_per_minute, 0.0)
        self._seats = Seats(self.dialect.seats)

    @property
    def now(self) -> float:
        """Seconds since the fake opened or was reset."""
        return self._clock() - self._opened_at

    def admit(self, call: Call) -> Verdict:
        """Number the request, choose what it meets, and enter it into the log."""
        now, number = self.now, self._log.requests + 1
        self._places[call.operation] += 1
        place = self._places[call.operation]
        source, step = self._ordered(call)
        fault, wait = step.fault, 0.0
        if not source:
            source, fault, wait = self._choose(call, place, number, now)
        seats = self._seats if call.is_seated and fault is not FaultKind.AUTH else None
        if seats is not None and not seats.take():
            source, fault, seats = "limit", FaultKind.CONCURRENCY, None
        verdict = Verdict(
            call=call,
            entry=_entry(call, number, now, source, fault),
            log=self._log,
            place=place,
            fault=fault,
            step=step,
            delay=self._latency(number) if step.delay is None or fault in _HANGING else step.delay,
            hang_seconds=self.plan.hang_seconds if step.delay is None else step.delay,
            hint=self._hint(call, place, step, wait),
            seats=seats,
        )
        self._log.enter(verdict.entry)
        return verdict

    def reply(self, verdict: Verdict) -> Reply:
        """Do the work of an admitted request, or refuse it; with the headers of the provider."""
        now = self.now
        request_id = request_identity(verdict.entry.number)
        reply = self._outcomes.reply(verdict, self.plan, now)
        seconds = max(0.0, now - verdict.entry.at)  # a reset in between moves the clock back
        common = self.dialect.headers(request_id, self._rate(now), verdict.hint, seconds)
        return reply.with_headers(common, reply.headers, verdict.step.headers)

    def refuse(self, kind: FaultKind) -> Reply:
        """Refuse a request that is none of the provider's operations; it is not logged."""
        hint = Hint(0.0, RetryAfterForm.SECONDS, datetime.now(UTC))
        return self.dialect.refuse(kind, request_identity(0), hint)

    def course(self, verdict: Verdict, stream: Stream) -> Course:
        """Tell how the stream of a reply runs."""
        return self._outcomes.course(verdict, self.plan, stream)

    def complete(self, verdict: Verdict, ending: Ending) -> None:
        """Note that a request has been dealt with."""
        verdict.log.complete(verdict.entry, ending, self.now)
        if verdict.seats is not None:
            verdict.seats.give_back()

    def _rate(self, now: float) -> RateView:
        seats = self._seats
        return msgspec.structs.replace(
            self._buckets.view(now), in_flight=seats.taken, most_in_flight=seats.limit
        )

    def _ordered(self, call: Call) -> tuple[str, Step]:
        """Return the step that somebody ordered for this request, and who: "" for nobody."""
        step = self._script.take(call.operation)
        if step is not None:
            return "script", step
        step = self._scenarios.take(call.headers)
        return ("", Step()) if step is None else ("scenario", step)

    def _choose(self, call: Call, place: int, number: int, now: float) -> tuple[str, FaultKind | None, float]:
        outage = self._outages.strike(now, number)
        if outage is not None:
            return "outage", _OUTAGE_KINDS[outage.status], 0.0
        if not (call.is_public or self.dialect.is_authorized(call.headers)):
            return "auth", FaultKind.AUTH, 0.0
        if call.is_oversized:
            return "size", FaultKind.TOO_LARGE, 0.0
        if not (call.is_public or self._quota.spend()):
            return "quota", FaultKind.QUOTA, 0.0
        wait = 0.0 if call.is_public else self._buckets.take(now, _tokens(call))
        if wait > 0.0:
            return "limit", FaultKind.RATE_LIMIT, wait
        fault = self.plan.fault(self.spec.provider, call.operation, place, streams=call.streams)
        return "plan" if fault else "", fault, 0.0

    def _hint(self, call: Call, place: int, step: Step, wait: float) -> Hint:
        form = step.retry_after_form or self.plan.form(self.spec.provider, call.operation, place)
        asked = self.plan.retry_after_seconds if step.retry_after is None else step.retry_after
        return Hint(wait or asked, form, datetime.now(UTC), call.operation)

    def _latency(self, number: int) -> float:
        return self.plan.between(self.spec.options.latency, self.spec.provider, "latency", number)

    def script(self, steps: list[Step]) -> None:
        """Put *steps* behind the script's."""
        for step in steps:
            check_error(self.spec.provider, step.error)
        self._script.add(steps)

    def set_plan(self, plan: FaultPlan) -> None:
        """Follow *plan* from the next request on; the numbers go on."""
        self.plan = plan

    def start_outage(self, outage: Outage) -> None:
        """Schedule one more outage, counted from now."""
        if outage.provider != self.spec.provider:
            raise ValueError(f"this is the fake of {self.spec.provider}, the outage is for {outage.provider}")
        self._outages.add(outage, self.now, self._log.requests)

    def top_up(self, requests: int | None) -> None:
        """Pay for *requests* more; None: for all to come."""
        self._quota.top_up(requests)

    def reset(self) -> None:
        """Begin anew: numbers, clock, log, script, jobs, quota, outages and the first plan."""
        self.plan = self.spec.plan
        self._open()

    def log(self, after: int = 0) -> list[LogEntry]:
        """Return the requests remembered, those after number *after*."""
        return self._log.after(after)

    def statistics(self) -> FakeStatistics:
        """Count."""
        log = self._log
        return FakeStatistics(
            requests=log.requests,
            answered=log.answered,
            faults=dict(log.faults),
            statuses=dict(log.statuses),
            in_flight=log.in_flight,
            in_flight_peak=log.in_flight_peak,
            outage_requests=log.outage_requests,
            script_steps=len(self._script),
            jobs=self.dialect.jobs(self.now),
        )


def _entry(call: Call, number: int, now: float, source: str, fault: FaultKind | None) -> LogEntry:
    return LogEntry(
        number=number,
        at=now,
        operation=call.operation,
        method=call.method,
        path=call.path,
        headers=without_secrets(call.headers),
        body=call.body[:BODY_LIMIT].decode(errors="replace"),
        source=source,
        fault=fault or "",
    )


def _tokens(call: Call) -> int:
    """Guess what a request weighs before it is read: its words are those of the prompt, and a few more."""
    return count_tokens(call.body.decode(errors="replace"))
