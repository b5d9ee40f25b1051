"""The brain of one fake: number the requests, choose what each meets, keep the log.

It does no I/O and does not wait: the web application does both, as told by the Verdict.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Final

import msgspec

from ._anthropic import AnthropicDialect, request_identity
from ._courses import Course, course_of, halves, middle
from ._dialects import Call, Circumstances, Dialect
from ._errors import KINDS, check_error, error_names, error_row
from ._limits import Quota, RateBucket
from ._log import BODY_LIMIT, Ending, FakeStatistics, LogEntry, RequestLog, without_secrets
from ._openai import OpenAIDialect
from ._options import FakeSpec
from ._outages import Outage, OutageClock
from ._plan import STREAM_KINDS, FaultKind, FaultPlan, RetryAfterForm
from ._replies import Hint, Reply, Stream, html_reply
from ._runpod import RunPodDialect
from ._scenarios import Scenarios
from ._steps import Script, Step

_DIALECTS: Final[Mapping[str, Callable[[FakeSpec], Dialect]]] = {
    "openai": OpenAIDialect,
    "anthropic": AnthropicDialect,
    "runpod": RunPodDialect,
}
_AFTER_WORK = STREAM_KINDS | {
    FaultKind.BROKEN_JSON,
    FaultKind.TRUNCATED,
    FaultKind.WRONG_LENGTH,
    FaultKind.JOB_FAILED,
    FaultKind.COLD_START,
}
_TELLING = frozenset({FaultKind.STREAM_ERROR, FaultKind.RESPONSE_FAILED})
_OUTAGE_KINDS: Final[Mapping[int | None, FaultKind]] = {
    None: FaultKind.RESET,
    500: FaultKind.SERVER_ERROR,
    502: FaultKind.HTML_ERROR,
    503: FaultKind.UNAVAILABLE,
    529: FaultKind.OVERLOADED,
}


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What one request meets."""

    call: Call
    entry: LogEntry
    log: RequestLog
    """The log the request is in; after a reset the fake has another."""
    place: int
    """The request's number among those to its operation."""
    fault: FaultKind | None
    step: Step
    delay: float
    """Seconds before the reply."""
    hang_seconds: float
    """Limit of a hang."""
    hint: Hint


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
        self._log = RequestLog()
        self._places: Counter[str] = Counter()
        self._script = Script()
        self._scenarios = Scenarios(self._names)
        self._outages = OutageClock(self.spec.outages, 0.0)
        self._quota = Quota(self.spec.options.quota)
        self._bucket = RateBucket(self.spec.options.requests_per_minute, 0.0)

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
        verdict = Verdict(
            call=call,
            entry=_entry(call, number, now, source, fault),
            log=self._log,
            place=place,
            fault=fault,
            step=step,
            delay=self._latency(number) if step.delay is None else step.delay,
            hang_seconds=self.plan.hang_seconds if step.delay is None else step.delay,
            hint=self._hint(call, place, step, wait),
        )
        self._log.enter(verdict.entry)
        return verdict

    def reply(self, verdict: Verdict) -> Reply:
        """Do the work of an admitted request, or refuse it; with the headers of the provider."""
        now = self.now
        request_id = request_identity(verdict.entry.number)
        reply = self._body(verdict, request_id, now)
        seconds = max(0.0, now - verdict.entry.at)  # a reset in between moves the clock back
        common = self.dialect.headers(request_id, self._bucket.view(now), verdict.hint, seconds)
        return reply.with_headers(common, reply.headers, verdict.step.headers)

    def refuse(self, kind: FaultKind) -> Reply:
        """Refuse a request that is none of the provider's operations; it is not logged."""
        hint = Hint(0.0, RetryAfterForm.SECONDS, datetime.now(UTC))
        return self.dialect.refuse(kind, request_identity(0), hint)

    def _body(self, verdict: Verdict, request_id: str, now: float) -> Reply:
        step, fault = verdict.step, verdict.fault
        if step.status is not None:
            return _literal(step.status, step.body or "")
        if fault is None and step.error is not None:
            return self._refusal(verdict, request_id)
        if fault is None or fault in _AFTER_WORK:
            reply = self.dialect.answer(verdict.call, self._circumstances(verdict, now))
            return self._spoilt(reply, verdict, request_id)
        reply = self.dialect.refuse(fault, request_id, verdict.hint)
        return Reply(413, reply.body, reply.headers) if verdict.call.is_oversized else reply

    def _spoilt(self, reply: Reply, verdict: Verdict, request_id: str) -> Reply:
        """Prepare what a fault does to an answer, as far as that is not the connection's business."""
        fault = verdict.fault
        if reply.status != 200 or reply.stream is not None or fault not in STREAM_KINDS:
            return reply
        if fault in _TELLING:
            is_told = fault is FaultKind.RESPONSE_FAILED and verdict.call.operation == "responses"
            return reply if is_told else self._refusal(verdict, request_id)
        return msgspec.structs.replace(reply, stream=halves(reply.body))

    def _refusal(self, verdict: Verdict, request_id: str) -> Reply:
        name = verdict.step.error or FaultKind.OVERLOADED
        if name in KINDS:
            return self.dialect.refuse(FaultKind(name), request_id, verdict.hint)
        return error_row(self.spec.provider, name, request_id)

    def course(self, verdict: Verdict, stream: Stream) -> Course:
        """Tell how the stream of a reply runs."""
        step, options = verdict.step, self.spec.options
        refusal = partial(self._refusal, verdict, request_identity(verdict.entry.number))
        course = course_of(stream, verdict.fault, self._after(verdict, stream), refusal)
        delay = options.chunk_delay if step.chunk_delay is None else step.chunk_delay
        return msgspec.structs.replace(course, delay=delay, limit=verdict.hang_seconds)

    def _after(self, verdict: Verdict, stream: Stream) -> int:
        if verdict.step.after is not None:
            return verdict.step.after
        if verdict.entry.source != "plan":
            return middle(stream)
        purpose = f"{verdict.call.operation}/after"
        drawn = self.plan.between((0.0, len(stream.pieces)), self.spec.provider, purpose, verdict.place)
        return int(drawn)

    def complete(self, verdict: Verdict, ending: Ending) -> None:
        """Note that a request has been dealt with."""
        verdict.log.complete(verdict.entry, ending, self.now)

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
        if not (call.is_open or self.dialect.is_authorized(call.headers)):
            return "auth", FaultKind.AUTH, 0.0
        if call.is_oversized:
            return "size", FaultKind.TOO_LARGE, 0.0
        if not (call.is_open or self._quota.spend()):
            return "quota", FaultKind.QUOTA, 0.0
        wait = 0.0 if call.is_open else self._bucket.take(now)
        if wait > 0.0:
            return "limit", FaultKind.RATE_LIMIT, wait
        fault = self.plan.fault(self.spec.provider, call.operation, place, streams=call.streams)
        return "plan" if fault else "", fault, 0.0

    def _hint(self, call: Call, place: int, step: Step, wait: float) -> Hint:
        form = step.retry_after_form or self.plan.form(self.spec.provider, call.operation, place)
        asked = self.plan.retry_after_seconds if step.retry_after is None else step.retry_after
        return Hint(wait or asked, form, datetime.now(UTC))

    def _latency(self, number: int) -> float:
        return self.plan.between(self.spec.options.latency, self.spec.provider, "latency", number)

    def _circumstances(self, verdict: Verdict, now: float) -> Circumstances:
        bounds = self.spec.options.run_seconds
        return Circumstances(
            number=verdict.entry.number,
            now=now,
            step=verdict.step,
            fault=verdict.fault,
            run_seconds=self.plan.between(bounds, self.spec.provider, "run_seconds", verdict.place),
        )

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


def _literal(status: int, body: str) -> Reply:
    data = body.encode()
    try:
        msgspec.json.decode(data)
    except msgspec.DecodeError:
        return html_reply(status, data)
    return Reply(status, data, {"content-type": "application/json"})
