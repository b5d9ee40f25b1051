"""How RunPod's serverless endpoints speak: run, status, cancel, retry, health.

The texts of its errors are nowhere documented: clients should look at the status, as ours does.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Final
from uuid import UUID

import msgspec

from ._dialects import Call, Circumstances, Route, bearer
from ._jobs import Job, JobBook, JobStatus, JobTerms
from ._limits import RateView
from ._options import FakeSpec
from ._pictures import picture_base64
from ._plan import FaultKind
from ._replies import Hint, Reply, html_reply, json_reply

_REFUSALS: Final[Mapping[FaultKind, tuple[int, str]]] = {
    FaultKind.RATE_LIMIT: (429, "too many requests"),
    FaultKind.RATE_LIMIT_BARE: (429, "too many requests"),
    FaultKind.SLOW_DOWN: (429, "too many requests"),
    FaultKind.TOO_LARGE: (413, "request body too large"),
    FaultKind.QUOTA: (402, "insufficient balance"),
    FaultKind.AUTH: (401, "unauthorized"),
    FaultKind.BAD_REQUEST: (400, "bad request"),
    FaultKind.CONTEXT_LENGTH: (400, "bad request"),
    FaultKind.CONTENT_POLICY: (400, "bad request"),
    FaultKind.NOT_FOUND: (404, "request does not exist"),
    FaultKind.SERVER_ERROR: (500, "internal server error"),
}

_FAILURE = msgspec.json.encode(
    {
        "error_type": "<class 'torch.cuda.OutOfMemoryError'>",
        "error_message": "CUDA out of memory.",
        "error_traceback": "Traceback (most recent call last): ...",
    }
).decode()


class _JobPolicy(msgspec.Struct, frozen=True, rename="camel"):
    execution_timeout: float = 600_000.0
    ttl: float = 86_400_000.0


class _Body(msgspec.Struct):
    input: dict[str, object]
    policy: _JobPolicy = _JobPolicy()


class RunPodDialect:
    """Speak like api.runpod.ai/v2."""

    routes: tuple[Route, ...] = (
        Route("POST", "/v2/{endpoint}/run", "run"),
        Route("GET", "/v2/{endpoint}/status/{job}", "status"),
        Route("POST", "/v2/{endpoint}/cancel/{job}", "cancel"),
        Route("POST", "/v2/{endpoint}/retry/{job}", "retry"),
        Route("GET", "/v2/{endpoint}/health", "health"),
    )
    seats: int | None = None

    def __init__(self, spec: FakeSpec) -> None:
        self._key = spec.key
        self._seed = spec.plan.seed
        self._options = spec.options
        self._book = JobBook(spec.options.workers, spec.options.retention_seconds)
        self._decoder = msgspec.json.Decoder(_Body)

    def is_authorized(self, headers: Mapping[str, str]) -> bool:
        """Tell whether the bearer is the key."""
        return bearer(headers) == self._key

    def answer(self, call: Call, circumstances: Circumstances) -> Reply:
        """Take, show, cancel or repeat a job, or tell how the endpoint is."""
        match call.operation:
            case "run":
                return self._run(call, circumstances)
            case "status":
                return self._status(self._book.find(call.params["job"], circumstances.now), circumstances)
            case "cancel":
                return self._status(self._book.cancel(call.params["job"], circumstances.now), circumstances)
            case "retry":
                return self._retry(self._book.find(call.params["job"], circumstances.now), circumstances)
            case _:
                return self._health(circumstances.now)

    def refuse(self, kind: FaultKind, request_id: str, hint: Hint) -> Reply:
        """Build the error *kind*; what RunPod has no word for is a 503."""
        del request_id
        if kind is FaultKind.HTML_ERROR:
            return html_reply(502)
        status, message = _REFUSALS.get(kind, (503, "service unavailable"))
        reply = json_reply(status, {"error": message})
        if kind in {FaultKind.RATE_LIMIT, FaultKind.SLOW_DOWN}:
            return reply.with_headers(hint.headers())
        return reply

    def headers(self, request_id: str, rate: RateView, hint: Hint, seconds: float) -> dict[str, str]:
        """Return none: the service promises none."""
        del request_id, rate, hint, seconds
        return {}

    def jobs(self, now: float) -> dict[str, int]:
        """Count the jobs by status."""
        return {str(status): count for status, count in self._book.count(now).items()}

    def _run(self, call: Call, circumstances: Circumstances) -> Reply:
        try:
            body = self._decoder.decode(call.body)
        except msgspec.DecodeError as error:
            return json_reply(400, {"error": f"bad request: {error}"})
        identity = UUID(int=Random(f"{self._seed}/job/{circumstances.number}").getrandbits(128), version=4)
        job = self._book.submit(f"{identity}-e1", self._terms(body, circumstances), circumstances.now)
        return json_reply(200, {"id": job.identity, "status": "IN_QUEUE"})

    def _retry(self, job: Job | None, circumstances: Circumstances) -> Reply:
        if job is None:
            return json_reply(404, {"error": "request does not exist"})
        again = self._book.retry(job, self._course(job.terms, circumstances), circumstances.now)
        if again is None:
            return json_reply(400, {"error": "only a job that failed or timed out can be retried"})
        return json_reply(200, {"id": again.identity, "status": "IN_QUEUE"})

    def _terms(self, body: _Body, circumstances: Circumstances) -> JobTerms:
        prompt = body.input.get("prompt")
        terms = JobTerms(
            prompt=prompt if isinstance(prompt, str) else msgspec.json.encode(body.input).decode(),
            run_seconds=0.0,
            execution_timeout=body.policy.execution_timeout / 1000.0,
            ttl=body.policy.ttl / 1000.0,
        )
        return self._course(terms, circumstances)

    def _course(self, terms: JobTerms, circumstances: Circumstances) -> JobTerms:
        """Decide what becomes of the job this time."""
        step = circumstances.step
        queue_seconds = step.queue_seconds
        if queue_seconds is None and circumstances.fault is FaultKind.COLD_START:
            queue_seconds = self._options.cold_start_seconds
        return msgspec.structs.replace(
            terms,
            run_seconds=circumstances.run_seconds if step.run_seconds is None else step.run_seconds,
            queue_seconds=queue_seconds,
            fails=circumstances.fault is FaultKind.JOB_FAILED,
        )

    def _status(self, job: Job | None, circumstances: Circumstances) -> Reply:
        if job is None:
            return json_reply(404, {"error": "request does not exist"})
        return json_reply(200, _view(job, job.status(circumstances.now)))

    def _health(self, now: float) -> Reply:
        jobs = self._book.count(now)
        busy = min(jobs[JobStatus.IN_PROGRESS], self._options.workers)
        idle = self._options.workers - busy
        document = {
            "jobs": {
                "completed": jobs[JobStatus.COMPLETED],
                "failed": jobs[JobStatus.FAILED],
                "inProgress": jobs[JobStatus.IN_PROGRESS],
                "inQueue": jobs[JobStatus.IN_QUEUE],
                "retried": self._book.retried,
            },
            "workers": {"idle": idle, "initializing": 0, "ready": idle, "running": busy, "throttled": 0},
        }
        return json_reply(200, document)


def _view(job: Job, status: JobStatus) -> dict[str, object]:
    view: dict[str, object] = {"id": job.identity, "status": status}
    if status is JobStatus.IN_QUEUE:
        return view
    view |= {"delayTime": job.delay, "workerId": f"fake-{job.identity[:8]}"}
    if status is JobStatus.IN_PROGRESS:
        return view
    view["executionTime"] = job.execution
    match status:
        case JobStatus.COMPLETED:
            view["output"] = {"images": [picture_base64(job.prompt)]}
        case JobStatus.FAILED:
            view["error"] = _FAILURE
        case JobStatus.TIMED_OUT:
            view["error"] = "job timed out"
        case _:
            pass
    return view
