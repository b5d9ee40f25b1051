"""RunPod serverless: jobs on GPUs."""

from __future__ import annotations

import math
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from random import Random
from typing import ClassVar, Self
from urllib.parse import quote

import anyio

from ...runtime import Message, SettingsError, handles
from ...supervisors import Estimate, FailureKind, ProviderError
from ...supervisors.policies import Concurrency, Exponential, Policy, Retry
from .._classification import ErrorTable
from .._http import HttpService
from .._http_messages import HttpReply, HttpRequest
from .._probe import Probe
from .._secret import Secret
from .._usage import Usage
from ._polling import JobWatch, Polling
from ._runpod_errors import RUNPOD_ERRORS, kind_of_failed_job
from ._runpod_messages import (
    CancelJob,
    CheckEndpoint,
    EndpointHealth,
    Job,
    JobResult,
    JobStatus,
    RetryJob,
    RunJob,
    SubmitJob,
)
from ._runpod_repeats import Repeats
from ._runpod_wire import WireJob, error_inside
from ._tally import Tally

_BASE_URL = "https://api.runpod.ai/v2"
_RUNNING = frozenset({"IN_PROGRESS", "RUNNING"})
_CANCEL_SECONDS = 3.0
_REPEATABLE = frozenset({"FAILED", "TIMED_OUT"})
_NOT_AGAIN = frozenset({FailureKind.BAD_REQUEST, FailureKind.NOT_FOUND})


class RunPod(HttpService):
    """Stand for one RunPod serverless endpoint.

    The policy's concurrency is the number of jobs in flight: a :class:`RunJob` holds its slot until
    the job has ended. Of these at most *submits* are being submitted at a time. The single steps
    (:class:`SubmitJob`, :class:`JobStatus`, :class:`RetryJob`, :class:`CancelJob`) wait for a slot
    among the jobs; a program that tracks its jobs by itself should give them a `RunPod` of their own.

    An attempt that is cancelled, or loses patience, cancels its job: GPU seconds cost money. The retry
    of a job that failed or timed out is the same job once more, by RunPod's own ``/retry``; where RunPod
    no longer has it, and after anything else, it is a new one.

    Args:
        endpoint: The endpoint's id.
        key: The API key.
        base_url: Where the API is.
        polling: How often a job is looked at, and how long it may take.
        submits: Jobs being submitted at a time.
        usd_per_second: What a second of the endpoint's GPU costs; None: unknown. There is no default.
        typical_seconds: How long a job usually runs, for the estimate of its cost.
        rng: Source of the polling's jitter.
    """

    provider: ClassVar[str] = "runpod"
    policy: ClassVar[Policy] = Policy(
        retry=Retry(
            # A job that failed gets five attempts; an API that does not take it, three.
            attempts=5,
            backoff=Exponential(2.0, cap=60.0),
            backoff_by_kind=dict.fromkeys(
                (FailureKind.RATE_LIMIT, FailureKind.OVERLOADED, FailureKind.NETWORK),
                Exponential(1.0, cap=30.0),
            ),
            attempts_by_kind=dict.fromkeys(
                (FailureKind.RATE_LIMIT, FailureKind.OVERLOADED, FailureKind.NETWORK), 3
            ),
        ),
        concurrency=Concurrency(2),
        # One attempt is a whole job: five minutes in the queue, ten of work, and some for the rest.
        attempt_timeout=1000.0,
        call_timeout=3600.0,
    )
    errors: ClassVar[ErrorTable] = RUNPOD_ERRORS

    def __init__(
        self,
        endpoint: str,
        key: Secret | str | None,
        *,
        base_url: str = _BASE_URL,
        polling: Polling | None = None,
        submits: int = 4,
        usd_per_second: float | None = None,
        typical_seconds: float = 30.0,
        rng: Random | None = None,
    ) -> None:
        super().__init__(f"{base_url.rstrip('/')}/{endpoint}", key=key)
        self.endpoint = endpoint
        self._polling = polling or Polling()
        self._submits = anyio.CapacityLimiter(submits)
        self._followed = Tally()
        self._repeats = Repeats()
        self._usd_per_second = usd_per_second
        self._typical_seconds = typical_seconds
        self._rng = rng or Random()

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Self:
        """Build it from ``RUNPOD_API_KEY``, ``RUNPOD_ENDPOINT_ID`` and, if set, ``RUNPOD_BASE_URL``."""
        env = os.environ if env is None else env
        endpoint = env.get("RUNPOD_ENDPOINT_ID", "").strip()
        if not endpoint:
            raise SettingsError("RUNPOD_ENDPOINT_ID", "is not set: put the endpoint's id into it")
        key = Secret.from_env("RUNPOD_API_KEY", env=env)
        return cls(endpoint, key, base_url=env.get("RUNPOD_BASE_URL") or _BASE_URL)

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Keep one connection pool open until the last job has been given up."""
        async with super().lifespan():
            try:
                yield
            finally:
                # A kill ends attempts and lifespan together. The former are cancelling their jobs
                # now, over the client that the latter would close.
                with anyio.move_on_after(_CANCEL_SECONDS, shield=True):
                    await self._followed.wait_none()

    @handles
    async def run(self, message: RunJob) -> JobResult:
        """Run one job to its end."""
        job = await self._begin(message)
        with self._followed.one():
            try:
                job = await self._follow(job, message)
            except BaseException:
                # Cancelled, out of time or out of patience: nobody will look at this job again.
                await self._abandon(job.id)
                raise
        return self._result(job, message)

    @handles
    async def submit(self, message: SubmitJob) -> Job:
        """Submit one job."""
        return await self._submit(message)

    @handles
    async def status(self, message: JobStatus) -> Job:
        """Look at a job once."""
        return self._job(await self.exchange(HttpRequest("GET", f"/status/{quote(message.id, safe='')}")))

    @handles
    async def cancel(self, message: CancelJob) -> Job:
        """Cancel a job."""
        return self._job(
            await self.exchange(HttpRequest("POST", f"/cancel/{quote(message.id, safe='')}", idempotent=True))
        )

    @handles
    async def retry(self, message: RetryJob) -> Job:
        """Begin a job again."""
        return self._job(await self.exchange(HttpRequest("POST", f"/retry/{quote(message.id, safe='')}")))

    @handles
    async def health(self, message: CheckEndpoint) -> EndpointHealth:
        """Ask how the endpoint is."""
        del message
        return self.decode(await self.exchange(HttpRequest("GET", "/health")), EndpointHealth)

    def is_repeatable(self, message: Message) -> bool:
        """Tell whether *message* may be attempted again after an attempt may have carried it out."""
        if isinstance(message, SubmitJob):
            return message.duplicate_ok
        return not isinstance(message, RetryJob) and super().is_repeatable(message)

    def probe(self, model: str | None = None) -> Probe | None:
        """Look at the endpoint's workers and jobs, which is free."""
        return Probe(request=HttpRequest("GET", "/health"), purpose="looks at the endpoint's workers")

    def estimate(self, message: Message) -> Estimate | None:
        """Guess what one attempt may cost, by the typical job."""
        if not isinstance(message, RunJob | SubmitJob):
            return None
        return Estimate(self.endpoint, self._usd(self._typical_seconds))

    async def _begin(self, message: RunJob) -> Job:
        """Submit the job, or begin the one again that an earlier attempt of this call saw fail."""
        failed = self._repeats.take()
        job = None if failed is None else await self._again(failed)
        return await self._submit(message) if job is None else job

    async def _again(self, job_id: str) -> Job | None:
        """Begin a failed job again; None: RunPod does not, so it takes a new one."""
        with self._followed.one():
            try:
                async with self._submits:
                    return await self.retry(RetryJob(job_id))
            except ProviderError as error:
                if error.kind in _NOT_AGAIN:
                    return None
                if error.kind is FailureKind.RATE_LIMIT:
                    self._repeats.keep(job_id)
                else:
                    await self._abandon(job_id)  # it may have begun
                raise
            except BaseException:
                await self._abandon(job_id)
                raise

    async def _submit(self, message: RunJob | SubmitJob) -> Job:
        payload = {
            "input": message.input,
            "policy": {"executionTimeout": math.ceil(message.execution_timeout * 1000)},
        }
        async with self._submits:
            reply = await self.exchange(
                HttpRequest("POST", "/run", json=payload, idempotent=message.duplicate_ok)
            )
        try:
            return self._job(reply)
        except ProviderError as error:
            # It was taken, but under an id we cannot read.
            error.retryable = None if message.duplicate_ok else False
            raise

    async def _follow(self, job: Job, message: RunJob) -> Job:
        watch = self._polling.watch(message.execution_timeout, anyio.current_time())
        asked: float = 0.0
        while not job.is_final:
            self._check_patience(watch)
            await anyio.sleep(watch.next_wait(self._rng, least=asked))
            job, asked = await self._look(job, watch)
        return job

    async def _look(self, job: Job, watch: JobWatch) -> tuple[Job, float]:
        """Return the job as it is now, and the seconds the server asked us to wait.

        What goes wrong with the looking says nothing of the job: it only slows the looking.
        """
        try:
            job = await self.status(JobStatus(job.id))
        except ProviderError as error:
            if not error.kind.is_retryable:
                self._check_lost(error, watch)
            watch.slow_down()
            return job, error.retry_after or 0.0
        if job.status in _RUNNING:
            watch.started(anyio.current_time())
        return job, 0.0

    def _check_lost(self, error: ProviderError, watch: JobWatch) -> None:
        if error.kind is not FailureKind.NOT_FOUND:
            raise error
        if not watch.is_new(anyio.current_time()):
            detail = "RunPod no longer knows the job: its time to live was over"
            raise self.failure(FailureKind.NOT_FOUND, detail, code="job_lost", retryable=True) from error

    def _check_patience(self, watch: JobWatch) -> None:
        match watch.lateness(anyio.current_time()):
            case "queue_timeout":
                detail = f"no worker took the job within {self._polling.queue_limit:g} s"
                raise self.failure(FailureKind.OVERLOADED, detail, code="queue_timeout")
            case "run_timeout":
                raise self.failure(FailureKind.TIMEOUT, "the job runs on past its time", code="run_timeout")
            case None:
                return

    async def _abandon(self, job_id: str) -> None:
        with anyio.move_on_after(_CANCEL_SECONDS, shield=True):
            try:
                await self.cancel(CancelJob(job_id))
            except ProviderError:
                # There is nobody to tell: the attempt already ends with a reason of its own.
                return

    def _result(self, job: Job, message: RunJob) -> JobResult:
        error = job.error or error_inside(job.output)
        kind = kind_of_failed_job(job.status, error)
        if kind is not None:
            if kind.is_retryable and job.status in _REPEATABLE:
                self._repeats.keep(job.id)
            raise self.failure(kind, error or f"the job ended as {job.status}", code=job.status)
        if job.output is None and message.needs_output:
            raise self.failure(
                FailureKind.INVALID_RESPONSE, "the job completed without an output", code="no_output"
            )
        billed = math.ceil(job.run_seconds)
        return JobResult(
            id=job.id,
            output=job.output,
            queue_seconds=job.queue_seconds,
            run_seconds=job.run_seconds,
            usage=Usage(seconds=billed, usd=self._usd(billed)),
        )

    def _job(self, reply: HttpReply) -> Job:
        return self.decode(reply, WireJob).read()

    def _usd(self, seconds: float) -> float | None:
        return None if self._usd_per_second is None else self._usd_per_second * seconds
