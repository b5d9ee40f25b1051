"""RunPod: how one attempt follows its job, and what it makes of the job's end."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import anyio
import msgspec
import pytest

from relight.actors import Usage
from relight.actors.providers import CancelJob, JobResult, JobStatus, Polling, RunJob, RunPod, SubmitJob
from relight.runtime import SettingsError
from relight.supervisors import FailureKind, ProviderError
from tests.actors.raw_http import HANG, RawServer, free_port, http, http_json, serve

pytestmark = pytest.mark.anyio

JOB = RunJob(input={"prompt": "a lighthouse"})
FAST = Polling(initial=0.01, cap=0.02, visible_after=0.0)
TAKEN = http_json(200, {"id": "job-1", "status": "IN_QUEUE"})


def seen(status: str, **more: object) -> bytes:
    return http_json(200, {"id": "job-1", "status": status, "workerId": "w"} | more)


DONE = seen("COMPLETED", output={"images": ["x"]}, delayTime=1500, executionTime=2500)


@asynccontextmanager
async def running(
    url: str, *, polling: Polling = FAST, usd: float | None = None
) -> AsyncGenerator[RunPod, None]:
    runpod = RunPod("e1", "k", base_url=f"{url}/v2", polling=polling, usd_per_second=usd)
    async with runpod.lifespan():
        yield runpod


async def result_of(*replies: bytes, message: RunJob = JOB, usd: float | None = None) -> JobResult:
    async with serve(*replies) as server, running(server.url, usd=usd) as runpod:
        return await runpod.run(message)


async def failure_of(
    *replies: bytes, message: RunJob = JOB, polling: Polling = FAST
) -> tuple[ProviderError, Sequence[str]]:
    async with serve(*replies) as server, running(server.url, polling=polling) as runpod:
        with pytest.raises(ProviderError) as caught:
            await runpod.run(message)
    return caught.value, paths(server)


def paths(server: RawServer) -> list[str]:
    return [" ".join(request.split(b" ", 2)[i].decode() for i in (0, 1)) for request in server.requests]


RUN, STATUS, CANCEL = "POST /v2/e1/run", "GET /v2/e1/status/job-1", "POST /v2/e1/cancel/job-1"


async def test_a_job_is_submitted_and_followed_to_its_end() -> None:
    async with (
        serve(TAKEN, seen("IN_QUEUE"), seen("IN_PROGRESS"), DONE) as server,
        running(server.url) as runpod,
    ):
        result = await runpod.run(JOB)
    assert paths(server) == [RUN, STATUS, STATUS, STATUS]
    assert result == JobResult(
        id="job-1", output={"images": ["x"]}, queue_seconds=1.5, run_seconds=2.5, usage=Usage(seconds=3)
    )
    assert msgspec.json.decode(server.requests[0].partition(b"\r\n\r\n")[2]) == {
        "input": {"prompt": "a lighthouse"},
        "policy": {"executionTimeout": 600_000},
    }


async def test_a_job_costs_what_its_seconds_cost() -> None:
    assert (await result_of(TAKEN, DONE, usd=0.001)).usage.usd == pytest.approx(0.003)
    assert (await result_of(TAKEN, DONE)).usage.usd is None


async def test_an_unknown_status_is_not_the_end() -> None:
    assert (await result_of(TAKEN, seen("WARMING_UP"), DONE)).id == "job-1"


async def test_a_job_that_ends_at_once_is_not_polled() -> None:
    async with serve(DONE) as server, running(server.url) as runpod:
        await runpod.run(JOB)
    assert paths(server) == [RUN]


@pytest.mark.parametrize(
    ("end", "kind", "code"),
    [
        (seen("FAILED", error="CUDA out of memory."), FailureKind.SERVER, "FAILED"),
        (seen("FAILED"), FailureKind.SERVER, "FAILED"),
        (seen("FAILED", error={"error_message": "boom"}), FailureKind.SERVER, "FAILED"),
        (seen("TIMED_OUT"), FailureKind.TIMEOUT, "TIMED_OUT"),
        (seen("CANCELLED"), FailureKind.BAD_REQUEST, "CANCELLED"),
        (seen("FAILED", error="prompt is a required input."), FailureKind.BAD_REQUEST, "FAILED"),
        (
            seen("FAILED", error="Unexpected input. x is not a valid input option."),
            FailureKind.BAD_REQUEST,
            "FAILED",
        ),
        (seen("COMPLETED", output={"error": "upload failed"}), FailureKind.SERVER, "COMPLETED"),
        (seen("COMPLETED", error="upload failed", output={}), FailureKind.SERVER, "COMPLETED"),
        (seen("COMPLETED"), FailureKind.INVALID_RESPONSE, "no_output"),
    ],
)
async def test_a_job_that_ends_badly_fails_and_is_not_cancelled(
    end: bytes, kind: FailureKind, code: str
) -> None:
    error, requests = await failure_of(TAKEN, end)
    assert (error.kind, error.code, error.retryable) == (kind, code, None)
    assert requests == [RUN, STATUS]


async def test_an_output_is_not_missed_where_none_is_needed() -> None:
    message = RunJob(input={}, needs_output=False)
    assert (await result_of(TAKEN, seen("COMPLETED"), message=message)).output is None


@pytest.mark.parametrize("output", [{"error": None}, {"error": ""}, [], 0, "text", False])
async def test_an_output_is_the_workers_business(output: object) -> None:
    assert (await result_of(TAKEN, seen("COMPLETED", output=output))).output == output


@pytest.mark.parametrize(
    "trouble",
    [
        http(500),
        http(503),
        http(429, b"", "retry-after: 0.01"),
        http(502, b"<html>"),
        http(200, b"{"),
        b"HTTP/1.1 2",
    ],
    ids=["500", "503", "429", "html", "broken JSON", "cut off"],
)
async def test_trouble_with_polling_only_slows_the_polling(trouble: bytes) -> None:
    async with serve(TAKEN, trouble, trouble, DONE) as server, running(server.url) as runpod:
        assert (await runpod.run(JOB)).id == "job-1"
    assert paths(server)[:4] == [RUN, STATUS, STATUS, STATUS]


@pytest.mark.slow
async def test_polling_heeds_the_servers_wait() -> None:
    async with (
        serve(TAKEN, http(429, b"", "retry-after: 0.3"), DONE) as server,
        running(server.url) as runpod,
    ):
        await runpod.run(JOB)
    assert server.times[2] - server.times[1] >= 0.3


async def test_a_key_refused_while_polling_ends_the_attempt_and_its_job() -> None:
    error, requests = await failure_of(TAKEN, http(401))
    assert error.kind is FailureKind.AUTH
    assert requests == [RUN, STATUS, CANCEL]


async def test_a_job_runpod_has_forgotten_is_made_again() -> None:
    error, _ = await failure_of(TAKEN, seen("IN_PROGRESS"), http(404))
    assert (error.kind, error.code, error.retryable) == (FailureKind.NOT_FOUND, "job_lost", True)


async def test_a_new_job_may_be_unknown_for_a_moment() -> None:
    polling = Polling(initial=0.01, cap=0.02, visible_after=5.0)
    async with serve(TAKEN, http(404), DONE) as server, running(server.url, polling=polling) as runpod:
        assert (await runpod.run(JOB)).id == "job-1"


async def test_a_job_no_worker_takes_is_given_up_and_cancelled() -> None:
    polling = Polling(initial=0.01, cap=0.02, queue_limit=0.05)
    error, requests = await failure_of(TAKEN, seen("IN_QUEUE"), polling=polling)
    assert (error.kind, error.code) == (FailureKind.OVERLOADED, "queue_timeout")
    assert requests[-1] == CANCEL


async def test_a_job_that_runs_on_is_given_up_and_cancelled() -> None:
    polling = Polling(initial=0.01, cap=0.02, run_grace=0.02)
    message = RunJob(input={}, execution_timeout=0.02)
    error, requests = await failure_of(TAKEN, seen("IN_PROGRESS"), message=message, polling=polling)
    assert (error.kind, error.code) == (FailureKind.TIMEOUT, "run_timeout")
    assert requests[-1] == CANCEL


async def test_a_cancelled_attempt_cancels_its_job() -> None:
    async with (
        serve(TAKEN, seen("IN_PROGRESS")) as server,
        running(server.url) as runpod,
        anyio.create_task_group() as group,
    ):
        group.start_soon(runpod.run, JOB)
        while len(server.requests) < 2:  # noqa: ASYNC110 - the server is no actor that could tell
            await anyio.sleep(0.01)
        group.cancel_scope.cancel()
    assert paths(server)[-1] == CANCEL
    assert paths(server).count(CANCEL) == 1


@pytest.mark.slow
async def test_a_server_that_does_not_answer_holds_up_a_cancellation_for_three_seconds_at_most() -> None:
    times: list[float] = []

    async def run(runpod: RunPod) -> None:
        try:
            await runpod.run(JOB)
        finally:
            times.append(anyio.current_time())

    async with (
        serve(TAKEN, HANG) as server,
        running(server.url) as runpod,
        anyio.create_task_group() as group,
    ):
        group.start_soon(run, runpod)
        while len(server.requests) < 2:  # noqa: ASYNC110 - the server is no actor that could tell
            await anyio.sleep(0.01)
        times.append(anyio.current_time())
        group.cancel_scope.cancel()
    assert 2.9 <= times[1] - times[0] < 30.0  # it would hang for ever


@pytest.mark.parametrize(("duplicate_ok", "retryable"), [(False, False), (True, None)])
@pytest.mark.parametrize("reply", [b"HTTP/1.1 2", http(200, b'{"id')], ids=["cut off", "broken JSON"])
async def test_a_submit_that_may_have_been_taken_is_made_again_only_on_request(
    reply: bytes, duplicate_ok: bool, retryable: bool | None
) -> None:
    async with serve(reply) as server, running(server.url) as runpod:
        with pytest.raises(ProviderError) as caught:
            await runpod.submit(SubmitJob(input={}, duplicate_ok=duplicate_ok))
    assert caught.value.kind.is_retryable
    assert caught.value.retryable is retryable


@pytest.mark.parametrize("status", [429, 500, 502, 503])
async def test_a_submit_that_was_refused_may_be_made_again(status: int) -> None:
    error, _ = await failure_of(http(status))
    assert error.kind.is_retryable
    assert error.retryable is None


async def test_a_submit_that_was_never_sent_may_be_made_again() -> None:
    async with running(f"http://127.0.0.1:{await free_port()}") as runpod:
        with pytest.raises(ProviderError) as caught:
            await runpod.submit(SubmitJob(input={}))
    assert (caught.value.kind, caught.value.retryable) == (FailureKind.NETWORK, None)


async def test_a_job_can_be_submitted_looked_at_and_cancelled_by_hand() -> None:
    replies = (TAKEN, seen("IN_PROGRESS"), seen("CANCELLED"))
    async with serve(*replies) as server, running(server.url) as runpod:
        job = await runpod.submit(SubmitJob(input={"prompt": "x"}))
        assert not (await runpod.status(JobStatus(job.id))).is_final
        assert (await runpod.cancel(CancelJob(job.id))).is_final
    assert paths(server) == [RUN, STATUS, CANCEL]


async def test_an_id_cannot_leave_its_place_in_the_path() -> None:
    async with serve(DONE) as server, running(server.url) as runpod:
        await runpod.status(JobStatus("../../x?y"))
    assert paths(server) == ["GET /v2/e1/status/..%2F..%2Fx%3Fy"]


async def test_few_jobs_are_submitted_at_a_time() -> None:
    async with serve(HANG) as server:
        runpod = RunPod("e1", "k", base_url=server.url, submits=2)
        async with runpod.lifespan(), anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(runpod.submit, SubmitJob(input={}))
            while len(server.requests) < 2:  # noqa: ASYNC110 - the server is no actor that could tell
                await anyio.sleep(0.01)
            await anyio.sleep(0.05)
            assert len(server.requests) == 2
            group.cancel_scope.cancel()


def test_a_job_is_estimated_by_the_typical_one() -> None:
    estimate = RunPod("e1", "k", usd_per_second=0.001, typical_seconds=20.0).estimate(JOB)
    assert estimate is not None
    assert estimate.model == "e1"
    assert estimate.usd == pytest.approx(0.02)


def test_without_a_price_the_estimate_has_none() -> None:
    estimate = RunPod("e1", "k").estimate(JOB)
    assert estimate is not None
    assert estimate.usd is None
    assert RunPod("e1", "k").estimate(JobStatus("x")) is None


def test_it_is_built_from_the_environment() -> None:
    env = {"RUNPOD_API_KEY": "k", "RUNPOD_ENDPOINT_ID": "e1"}
    assert RunPod.from_env(env).base_url == "https://api.runpod.ai/v2/e1"
    assert (
        RunPod.from_env(env | {"RUNPOD_BASE_URL": "http://localhost:1/"}).base_url == "http://localhost:1/e1"
    )
    for name in env:
        with pytest.raises(SettingsError, match=name):
            RunPod.from_env({key: value for key, value in env.items() if key != name})
