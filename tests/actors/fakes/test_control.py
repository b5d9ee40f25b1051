"""A running fake can be steered and tells what it met, through its face and over plain HTTP."""

from collections.abc import Callable, Coroutine

import anyio
import httpx2
import pytest

from relight.actors.fakes import Fakes, FaultKind, FaultPlan, Outage, Step

Ask = Callable[..., Coroutine[None, None, httpx2.Response]]

pytestmark = pytest.mark.anyio


async def test_steps_are_used_in_order_and_then_the_fake_is_itself_again(fakes: Fakes, chat: Ask) -> None:
    await fakes.script("openai", [Step(status=418, body='{"a":1}', times=2), Step(status=302, body="moved")])
    await fakes.script("openai", [Step(fault=FaultKind.SERVER_ERROR)])
    replies = [await chat() for _ in range(5)]
    assert [reply.status_code for reply in replies] == [418, 418, 302, 500, 200]
    assert replies[0].json() == {"a": 1}
    assert replies[2].headers["content-type"].startswith("text/html")


async def test_a_step_can_wait_for_its_operation(fakes: Fakes, runpod: Ask) -> None:
    await fakes.script("runpod", [Step(operation="status", status=503), Step(operation="run", status=500)])
    assert (await runpod("GET", "health")).status_code == 200
    assert (await runpod("POST", "run", json={})).status_code == 500
    assert (await runpod("GET", "status/nobody")).status_code == 503


async def test_a_step_can_delay_the_answer(fakes: Fakes, chat: Ask) -> None:
    await fakes.script("openai", [Step(delay=0.15)])
    reply = await chat()
    assert int(reply.headers["openai-processing-ms"]) >= 150


async def test_a_step_comes_before_an_outage(fakes: Fakes, chat: Ask) -> None:
    await fakes.start_outage(Outage("openai", 30.0))
    await fakes.script("openai", [Step()])
    assert [(await chat()).status_code for _ in range(2)] == [200, 503]


async def test_the_log_tells_what_came_and_what_it_met(fakes: Fakes, chat: Ask) -> None:
    await fakes.script("openai", [Step(fault=FaultKind.QUOTA)])
    await chat("the first")
    await anyio.sleep(0.05)
    await chat("the second")
    first, second = await fakes.log("openai")
    assert (first.number, first.source, first.fault, first.status) == (1, "script", "quota", 429)
    assert (second.number, second.source, second.fault, second.status) == (2, "", "", 200)
    assert (second.operation, second.method, second.path) == ("chat", "POST", "/v1/chat/completions")
    assert "the second" in second.body
    assert 0.05 <= second.at - first.at < 5.0
    assert second.seconds >= 0.0
    assert [entry.number for entry in await fakes.log("openai", after=1)] == [2]


async def test_the_log_keeps_no_key(fakes: Fakes, chat: Ask, message: Ask) -> None:
    await chat()
    await message()
    for provider, header in {"openai": "authorization", "anthropic": "x-api-key"}.items():
        (entry,) = await fakes.log(provider)
        assert entry.headers[header] == "***"
        assert fakes.key(provider) not in repr(entry)


async def test_statistics_count_requests_faults_and_peaks(fakes: Fakes, chat: Ask) -> None:
    await fakes.script(
        "openai", [Step(delay=0.1, times=3), Step(fault=FaultKind.UNAVAILABLE), Step(), Step()]
    )
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(chat)
    await chat()
    statistics = await fakes.statistics("openai")
    assert (statistics.requests, statistics.answered, statistics.in_flight_peak) == (4, 3, 3)
    assert (statistics.in_flight, statistics.script_steps) == (0, 2)
    assert statistics.faults == {"unavailable": 1}
    assert statistics.statuses == {200: 3, 503: 1}


async def test_statistics_count_jobs(fakes: Fakes, runpod: Ask) -> None:
    await fakes.script("runpod", [Step(queue_seconds=9.0), Step(run_seconds=9.0)])
    for _ in range(2):
        await runpod("POST", "run", json={"input": {}})
    assert (await fakes.statistics("runpod")).jobs == {"IN_QUEUE": 1, "IN_PROGRESS": 1}


async def test_a_reset_begins_anew(fakes: Fakes, chat: Ask) -> None:
    await fakes.set_plan("openai", FaultPlan(rate=1.0, weights={FaultKind.SERVER_ERROR: 1.0}))
    await fakes.start_outage(Outage("openai", 30.0))
    await fakes.script("openai", [Step(status=418)])
    await chat()
    await fakes.reset("openai")
    assert (await chat()).status_code == 200
    assert [entry.number for entry in await fakes.log("openai")] == [1]


async def test_the_plan_can_change_while_the_fake_runs(fakes: Fakes, chat: Ask) -> None:
    await fakes.set_plan("openai", FaultPlan(rate=1.0, weights={FaultKind.UNAVAILABLE: 1.0}))
    assert (await chat()).status_code == 503
    await fakes.set_plan("openai", FaultPlan())
    assert (await chat()).status_code == 200


async def test_plain_http_steers_as_well(fakes: Fakes, client: httpx2.AsyncClient, chat: Ask) -> None:
    desk = f"{fakes.url('openai')}/_fake"
    steps = [{"fault": "rate_limit", "retry_after": 2}, {"status": 418, "body": "{}"}]
    assert (await client.post(f"{desk}/script", json=steps)).status_code == 200
    assert [(await chat()).status_code for _ in range(2)] == [429, 418]
    assert [entry["fault"] for entry in (await client.get(f"{desk}/log")).json()] == ["rate_limit", ""]
    assert (await client.get(f"{desk}/statistics")).json()["requests"] == 2
    assert (await client.post(f"{desk}/reset")).status_code == 200
    assert (await client.get(f"{desk}/log")).json() == []


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("script", [{"fault": "no such"}]),
        ("script", [{"stauts": 500}]),
        ("script", [{"status": 500, "fault": "hang"}]),
        ("script", [{"error": "no such error"}]),
        ("script", [{"error": "timeout_error"}]),
        ("plan", {"rate": 2.0}),
        ("outage", {"provider": "anthropic", "seconds": 1.0}),
        ("top-up", {"requests": "many"}),
    ],
)
async def test_an_order_that_makes_no_sense_is_refused(
    fakes: Fakes, client: httpx2.AsyncClient, name: str, order: object
) -> None:
    reply = await client.post(f"{fakes.url('openai')}/_fake/{name}", json=order)
    assert reply.status_code == 400
    assert reply.json()["error"]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"status": 99}, "Step.status"),
        ({"times": 0}, "Step.times"),
        ({"delay": -1.0}, "Step.delay"),
        ({"chunk_delay": -1.0}, "Step.chunk_delay"),
        ({"after": -1}, "Step.after"),
        ({"fault": FaultKind.QUOTA, "error": "auth"}, "got fault and error"),
        ({"status": 500, "answer": "no"}, "one of fault, status, answer and error"),
    ],
)
def test_an_impossible_step_is_refused_by_name(changes: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Step(**changes)  # type: ignore[arg-type]
