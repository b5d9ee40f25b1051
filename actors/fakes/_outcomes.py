"""The answers of a fake: the dialect's own, its refusals, and what a fault makes of either."""

from __future__ import annotations

from functools import partial

import msgspec

from ._anthropic import request_identity
from ._courses import Course, course_of, halves, middle
from ._dialects import Circumstances, Dialect
from ._errors import KINDS, error_row
from ._options import FakeSpec
from ._plan import STREAM_KINDS, FaultKind, FaultPlan
from ._replies import Reply, Stream, html_reply
from ._verdicts import Verdict

_AFTER_WORK = STREAM_KINDS | {
    FaultKind.BROKEN_JSON,
    FaultKind.TRUNCATED,
    FaultKind.WRONG_LENGTH,
    FaultKind.JOB_FAILED,
    FaultKind.COLD_START,
}
_TELLING = frozenset({FaultKind.STREAM_ERROR, FaultKind.RESPONSE_FAILED})


class Outcomes:
    """Carry out verdicts, without the headers that all replies have."""

    def __init__(self, spec: FakeSpec, dialect: Dialect) -> None:
        self._spec = spec
        self._dialect = dialect

    def reply(self, verdict: Verdict, plan: FaultPlan, now: float) -> Reply:
        """Do the work of an admitted request, or refuse it."""
        request_id = request_identity(verdict.entry.number)
        step, fault = verdict.step, verdict.fault
        if step.status is not None:
            return _literal(step.status, step.body or "")
        if fault is None and step.error is not None:
            return self._refusal(verdict, request_id)
        if fault is None or fault in _AFTER_WORK:
            reply = self._dialect.answer(verdict.call, self._circumstances(verdict, plan, now))
            return self._spoilt(reply, verdict, request_id)
        reply = self._dialect.refuse(fault, request_id, verdict.hint)
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
            return self._dialect.refuse(FaultKind(name), request_id, verdict.hint)
        return error_row(self._spec.provider, name, request_id)

    def course(self, verdict: Verdict, plan: FaultPlan, stream: Stream) -> Course:
        """Tell how the stream of a reply runs."""
        step, options = verdict.step, self._spec.options
        refusal = partial(self._refusal, verdict, request_identity(verdict.entry.number))
        course = course_of(stream, verdict.fault, self._after(verdict, plan, stream), refusal)
        delay = options.chunk_delay if step.chunk_delay is None else step.chunk_delay
        return msgspec.structs.replace(course, delay=delay, limit=verdict.hang_seconds)

    def _after(self, verdict: Verdict, plan: FaultPlan, stream: Stream) -> int:
        if verdict.step.after is not None:
            return verdict.step.after
        if verdict.entry.source != "plan":
            return middle(stream)
        purpose = f"{verdict.call.operation}/after"
        drawn = plan.between((0.0, len(stream.pieces)), self._spec.provider, purpose, verdict.place)
        return int(drawn)

    def _circumstances(self, verdict: Verdict, plan: FaultPlan, now: float) -> Circumstances:
        bounds = self._spec.options.run_seconds
        return Circumstances(
            number=verdict.entry.number,
            now=now,
            step=verdict.step,
            fault=verdict.fault,
            run_seconds=plan.between(bounds, self._spec.provider, "run_seconds", verdict.place),
        )


def _literal(status: int, body: str) -> Reply:
    data = body.encode()
    try:
        msgspec.json.decode(data)
    except msgspec.DecodeError:
        return html_reply(status, data)
    return Reply(status, data, {"content-type": "application/json"})
