"""The providers over the fakes: real HTTP, real errors, real retries, with short waits."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise

import anyio
import pytest
import structlog.testing

from relight.actors import HttpRequest, HttpService
from relight.actors.fakes import FakeOptions, FaultKind, RetryAfterForm, Step
from relight.actors.providers import (
    Anthropic,
    ChatCompletion,
    ChatMessage,
    CheckEndpoint,
    CreateMessage,
    JobStatus,
    OpenAI,
    Polling,
    RetryJob,
    RunJob,
    RunPod,
    SubmitJob,
)
from relight.runtime import ActorStoppedError, AskTimeoutError, Ref
from relight.supervisors import Child, FailureKind, ProviderError, RetriesExhaustedError, open_system
from tests.actors.providers.servers import Servers, impatient, opened_servers

pytestmark = pytest.mark.anyio

HELLO = (ChatMessage("user", "Hello there, who are you?"),)
CHAT = ChatCompletion(model="gpt-4o-mini", messages=HELLO)
MESSAGE = CreateMessage(model="claude-haiku-4-5", messages=HELLO)
JOB = RunJob(input={"prompt": "a lighthouse"})
FAST = Polling(initial=0.02, cap=0.1)
COMPLETED_WITH_ERROR = '{"id": "x", "status": "COMPLETED", "output": {"error": "upload failed"}}'


@pytest.fixture(scope="module")
def opened() -> Iterator[Servers]:
    options = FakeOptions(latency=(0.0, 0.0), run_seconds=(0.05, 0.05))
    with opened_servers(["openai", "anthropic", "runpod"], options) as servers:
        yield servers


@asynccontextmanager
async def running(child: Child) -> AsyncGenerator[Ref, None]:
    async with open_system() as system:
        yield await system.spawn(child)


def openai(servers: Servers, key: str | None = None) -> Child:
    url = f"{servers.fakes.url('openai')}/v1"
    start = partial(OpenAI, key or servers.fakes.key("openai"), base_url=url)
    return Child("openai", start, policy=impatient(OpenAI.policy))


def anthropic(servers: Servers) -> Child:
    start = partial(Anthropic, servers.fakes.key("anthropic"), base_url=servers.fakes.url("anthropic"))
    return Child("anthropic", start, policy=impatient(Anthropic.policy))


def runpod(servers: Servers, polling: Polling = FAST) -> Child:
    url = f"{servers.fakes.url('runpod')}/v2"
    start = partial(RunPod, "sdxl", servers.fakes.key("runpod"), base_url=url, polling=polling)
    return Child("runpod", start, policy=impatient(RunPod.policy), shutdown=0.1)


def health(servers: Servers) -> Child:
    start = partial(HttpService, servers.fakes.url("runpod"), key=servers.fakes.key("runpod"))
    return Child("health", start, policy=impatient(HttpService.policy))


HEALTH = HttpRequest("GET", "/v2/sdxl/health")


async def test_openai_answers(servers: Servers) -> None:
    async with running(openai(servers)) as ref:
        reply = await ref.ask(CHAT)
    assert reply.text
    assert reply.finish_reason == "stop"
    assert reply.usage.usd is not None
    assert reply.usage.usd > 0


async def test_anthropic_answers(servers: Servers) -> None:
    async with running(anthropic(servers)) as ref:
        reply = await ref.ask(MESSAGE)
    assert reply.text
    assert reply.stop_reason == "end_turn"
    assert reply.usage.output_tokens > 0


async def test_a_job_at_runpod_is_run_to_its_end(servers: Servers) -> None:
    async with running(runpod(servers)) as ref:
        result = await ref.ask(JOB)
    assert isinstance(result.output, dict)
    assert result.run_seconds == pytest.approx(0.05)
    assert servers.jobs() == {"COMPLETED": 1}


async def test_any_http_api_answers(servers: Servers) -> None:
    async with running(health(servers)) as ref:
        reply = await ref.ask(HEALTH)
    assert isinstance(reply.json(), dict)


async def test_an_http_api_that_breaks_twice_is_asked_three_times_with_growing_gaps(servers: Servers) -> None:
    servers.script("runpod", Step(fault=FaultKind.RESET, times=2))
    async with running(health(servers)) as ref:
        assert (await ref.ask(HEALTH)).status == 200
    first, second = (later.at - earlier.at for earlier, later in pairwise(servers.requests("runpod")))
    assert first >= 0.05
    assert second >= 0.1


TEMPORARY = [
    FaultKind.RATE_LIMIT,
    FaultKind.RATE_LIMIT_BARE,
    FaultKind.SLOW_DOWN,
    FaultKind.SERVER_ERROR,
    FaultKind.UNAVAILABLE,
    FaultKind.OVERLOADED,
    FaultKind.HTML_ERROR,
    FaultKind.RESET,
    FaultKind.BROKEN_JSON,
    FaultKind.TRUNCATED,
]


def fault(kind: FaultKind, operation: str | None = None) -> Step:
    form = RetryAfterForm.MILLISECONDS
    return Step(fault=kind, retry_after=0.05, retry_after_form=form, operation=operation)


@pytest.mark.parametrize("kind", TEMPORARY)
async def test_openai_is_asked_again_after_trouble_that_passes(servers: Servers, kind: FaultKind) -> None:
    servers.script("openai", fault(kind))
    async with running(openai(servers)) as ref:
        assert (await ref.ask(CHAT)).text
    assert len(servers.requests("openai")) == 2


@pytest.mark.parametrize("kind", TEMPORARY)
async def test_anthropic_is_asked_again_after_trouble_that_passes(servers: Servers, kind: FaultKind) -> None:
    servers.script("anthropic", fault(kind))
    async with running(anthropic(servers)) as ref:
        assert (await ref.ask(MESSAGE)).text
    assert len(servers.requests("anthropic")) == 2


FOR_GOOD = [
    (FaultKind.QUOTA, FailureKind.QUOTA),
    (FaultKind.AUTH, FailureKind.AUTH),
    (FaultKind.TOO_LARGE, FailureKind.BAD_REQUEST),
    (FaultKind.BAD_REQUEST, FailureKind.BAD_REQUEST),
    (FaultKind.CONTEXT_LENGTH, FailureKind.CONTEXT_LENGTH),
    (FaultKind.NOT_FOUND, FailureKind.NOT_FOUND),
]


@pytest.mark.parametrize(
    ("fault", "kind"), [*FOR_GOOD, (FaultKind.CONTENT_POLICY, FailureKind.CONTENT_POLICY)]
)
async def test_openai_is_asked_once_where_asking_again_is_no_use(
    servers: Servers, fault: FaultKind, kind: FailureKind
) -> None:
    servers.script("openai", Step(fault=fault))
    async with running(openai(servers)) as ref:
        with pytest.raises(ProviderError) as caught:
            await ref.ask(CHAT)
    assert caught.value.kind is kind
    assert len(servers.requests("openai")) == 1


@pytest.mark.parametrize(("fault", "kind"), FOR_GOOD)
async def test_anthropic_is_asked_once_where_asking_again_is_no_use(
    servers: Servers, fault: FaultKind, kind: FailureKind
) -> None:
    servers.script("anthropic", Step(fault=fault))
    async with running(anthropic(servers)) as ref:
        with pytest.raises(ProviderError) as caught:
            await ref.ask(MESSAGE)
    assert caught.value.kind is kind
    assert len(servers.requests("anthropic")) == 1


@pytest.mark.slow
async def test_a_job_that_fails_is_begun_again_under_its_id(servers: Servers) -> None:
    servers.script("runpod", Step(fault=FaultKind.JOB_FAILED, operation="run"))
    servers.script("runpod", Step(fault=FaultKind.JOB_FAILED, operation="retry"))
    async with running(runpod(servers)) as ref:
        await ref.ask(JOB)
    assert servers.jobs() == {"COMPLETED": 1}
    made = [entry.operation for entry in servers.requests("runpod", "run", "retry")]
    assert made == ["run", "retry", "retry"]


@pytest.mark.slow
async def test_a_job_that_runs_out_of_its_time_is_begun_again_under_its_id(servers: Servers) -> None:
    servers.script("runpod", Step(run_seconds=60.0, operation="run"))
    async with running(runpod(servers)) as ref:
        await ref.ask(RunJob(input={"prompt": "a tower"}, execution_timeout=0.1))
    assert servers.jobs() == {"COMPLETED": 1}
    assert len(servers.requests("runpod", "retry")) == 1


@pytest.mark.slow
async def test_a_failed_job_that_runpod_no_longer_has_is_made_anew(servers: Servers) -> None:
    servers.script("runpod", Step(fault=FaultKind.JOB_FAILED, operation="run"))
    servers.script("runpod", Step(fault=FaultKind.NOT_FOUND, operation="retry"))
    async with running(runpod(servers)) as ref:
        await ref.ask(JOB)
    assert servers.jobs() == {"FAILED": 1, "COMPLETED": 1}


@pytest.mark.slow
async def test_a_retry_whose_answer_is_lost_leaves_no_second_job_running(servers: Servers) -> None:
    servers.script("runpod", Step(fault=FaultKind.JOB_FAILED, operation="run"))
    servers.script("runpod", Step(fault=FaultKind.TRUNCATED, operation="retry", run_seconds=60.0))
    async with running(runpod(servers)) as ref:
        with pytest.raises(ProviderError) as caught:
            await ref.ask(JOB)
    assert caught.value.kind is FailureKind.NETWORK
    assert servers.jobs() == {"CANCELLED": 1}


@pytest.mark.slow
async def test_a_retry_that_comes_too_fast_is_asked_for_again(servers: Servers) -> None:
    servers.script("runpod", Step(fault=FaultKind.JOB_FAILED, operation="run"))
    servers.script("runpod", fault(FaultKind.RATE_LIMIT, operation="retry"))
    async with running(runpod(servers)) as ref:
        await ref.ask(JOB)
    assert servers.jobs() == {"COMPLETED": 1}


@pytest.mark.slow
async def test_a_job_that_always_fails_is_begun_five_times(servers: Servers) -> None:
    servers.script("runpod", Step(fault=FaultKind.JOB_FAILED, operation="run", times=9))
    servers.script("runpod", Step(fault=FaultKind.JOB_FAILED, operation="retry", times=9))
    async with running(runpod(servers)) as ref:
        with pytest.raises(RetriesExhaustedError) as caught:
            await ref.ask(JOB)
    assert (caught.value.kind, caught.value.attempts) == (FailureKind.SERVER, 5)
    assert servers.jobs() == {"FAILED": 1}
    assert len(servers.requests("runpod", "run", "retry")) == 5


async def test_a_caller_may_begin_a_failed_job_again(servers: Servers) -> None:
    servers.script("runpod", Step(fault=FaultKind.JOB_FAILED, operation="run", run_seconds=0.0))
    async with running(runpod(servers)) as ref:
        job = await ref.ask(SubmitJob(input={"prompt": "a tower"}))
        await anyio.sleep(0.02)  # the fake's clock, in a process of its own
        assert (await ref.ask(JobStatus(job.id))).status == "FAILED"
        assert await ref.ask(RetryJob(job.id)) == job
        with pytest.raises(ProviderError) as caught:
            await ref.ask(RetryJob(job.id))
    assert caught.value.kind is FailureKind.BAD_REQUEST


async def test_an_endpoint_tells_how_it_is(servers: Servers) -> None:
    async with running(runpod(servers)) as ref:
        await ref.ask(JOB)
        health = await ref.ask(CheckEndpoint())
    assert health.jobs["completed"] == 1
    assert health.workers["running"] == 0


@pytest.mark.slow
async def test_an_error_inside_a_completed_job_makes_it_anew(servers: Servers) -> None:
    servers.script("runpod", Step(status=200, body=COMPLETED_WITH_ERROR, operation="status"))
    async with running(runpod(servers)) as ref:
        result = await ref.ask(JOB)
    assert isinstance(result.output, dict)
    assert [entry.operation for entry in servers.requests("runpod", "run", "retry")] == ["run", "run"]


@pytest.mark.slow
async def test_a_job_whose_time_to_live_is_over_is_made_anew(servers: Servers) -> None:
    """The job ends, and RunPod forgets it before anybody looks."""
    servers.script("runpod", Step(fault=FaultKind.NOT_FOUND, operation="status"))
    polling = Polling(initial=0.02, cap=0.1, visible_after=0.0)
    async with running(runpod(servers, polling)) as ref:
        assert (await ref.ask(JOB)).output
    assert [entry.operation for entry in servers.requests("runpod", "run", "retry")] == ["run", "run"]


@pytest.mark.slow
async def test_trouble_with_polling_costs_no_second_job(servers: Servers) -> None:
    for kind in (FaultKind.SERVER_ERROR, FaultKind.RESET, FaultKind.BROKEN_JSON):
        servers.script("runpod", Step(fault=kind, operation="status"))
    async with running(runpod(servers)) as ref:
        await ref.ask(JOB)
    assert servers.jobs() == {"COMPLETED": 1}


async def test_a_submit_whose_answer_is_lost_is_not_made_again(servers: Servers) -> None:
    servers.script("runpod", Step(fault=FaultKind.BROKEN_JSON, operation="run"))
    async with running(runpod(servers)) as ref:
        with pytest.raises(ProviderError):
            await ref.ask(JOB)
    assert len(servers.requests("runpod", "run")) == 1


@pytest.mark.slow
async def test_a_job_whose_asker_leaves_is_cancelled(servers: Servers) -> None:
    servers.script("runpod", Step(run_seconds=60.0, operation="run"))
    async with running(runpod(servers)) as ref:
        with pytest.raises(AskTimeoutError):
            await ref.ask(JOB, timeout=1.0)
        with anyio.fail_after(30.0):
            while "CANCELLED" not in servers.jobs():  # noqa: ASYNC110 - the fake is no actor that could tell
                await anyio.sleep(0.01)
    assert servers.jobs() == {"CANCELLED": 1}


async def test_a_job_is_cancelled_when_the_service_is_killed_under_it(servers: Servers) -> None:
    servers.script("runpod", Step(run_seconds=60.0, operation="run"))
    async with running(runpod(servers)) as ref, anyio.create_task_group() as group:

        async def ask() -> None:
            with pytest.raises(ActorStoppedError):
                await ref.ask(JOB)

        group.start_soon(ask)
        while not servers.requests("runpod", "status"):  # noqa: ASYNC110
            await anyio.sleep(0.01)
        await ref.stop()
    assert servers.jobs() == {"CANCELLED": 1}


async def test_the_key_is_in_no_error_and_no_log(servers: Servers) -> None:
    key = "a-key-of-no-known-shape"
    with structlog.testing.capture_logs() as logs:
        async with running(openai(servers, key)) as ref:
            servers.script("openai", Step(fault=FaultKind.SERVER_ERROR))
            servers.script("openai", Step(fault=FaultKind.RESET))
            servers.script("openai", Step(status=401, body=f'{{"error": {{"message": "wrong key {key}"}}}}'))
            with pytest.raises(ProviderError) as caught:
                await ref.ask(CHAT)
    structlog.reset_defaults()  # else the rest of the suite would count as an application that configured it
    assert caught.value.kind is FailureKind.AUTH
    assert {log["event"] for log in logs} >= {"provider.retry_scheduled", "provider.blocked"}
    assert key not in f"{logs!r} {caught.value!r} {vars(caught.value)}"
