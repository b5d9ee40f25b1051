"""Each fault is on the wire what it is called."""

import json
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import anyio
import httpx2
import pytest

from relight.actors.fakes import Fakes, FaultKind, FaultPlan, Outage, RetryAfterForm, Step

Ask = Callable[..., Coroutine[None, None, httpx2.Response]]

pytestmark = pytest.mark.anyio


async def wait_in_flight(fakes: Fakes, number: int) -> None:
    """Wait until the fake of OpenAI deals with *number* requests: only the fake itself can tell."""
    with anyio.fail_after(30.0):
        while (await fakes.statistics("openai")).in_flight != number:  # noqa: ASYNC110 - another process
            await anyio.sleep(0.01)


async def test_a_reset_is_a_real_one(fakes: Fakes, chat: Ask) -> None:
    await fakes.script("openai", [Step(fault=FaultKind.RESET)])
    with pytest.raises(httpx2.ReadError, match="Connection reset"):
        await chat()


async def test_a_reset_also_breaks_a_connection_that_was_in_use(fakes: Fakes, chat: Ask) -> None:
    await fakes.script("openai", [Step(), Step(fault=FaultKind.RESET), Step()])
    assert (await chat()).status_code == 200
    with pytest.raises(httpx2.ReadError):
        await chat()
    assert (await chat()).status_code == 200


async def test_a_hang_sends_nothing_until_the_client_leaves(fakes: Fakes, chat: Ask) -> None:
    await fakes.script("openai", [Step(fault=FaultKind.HANG, delay=60.0)])
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(chat)
        await wait_in_flight(fakes, 1)
        await anyio.sleep(0.05)
        assert (await fakes.statistics("openai")).in_flight == 1
        tasks.cancel_scope.cancel()
    await wait_in_flight(fakes, 0)
    (entry,) = await fakes.log("openai")
    assert (entry.status, entry.fault) == (0, "hang")
    assert 0.05 <= entry.seconds < 60.0


async def test_a_hang_ends_at_its_limit_without_an_answer(fakes: Fakes, chat: Ask) -> None:
    await fakes.script("openai", [Step(fault=FaultKind.HANG, delay=0.05)])
    with pytest.raises(httpx2.RemoteProtocolError, match="without sending a response"):
        await chat()


async def test_a_hanging_request_does_not_hold_up_others(fakes: Fakes, chat: Ask) -> None:
    await fakes.script("openai", [Step(fault=FaultKind.HANG, delay=60.0, times=5)])
    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(chat)
        await wait_in_flight(fakes, 5)
        assert (await chat()).status_code == 200
        tasks.cancel_scope.cancel()


async def test_broken_json_is_a_complete_reply_with_half_a_document(fakes: Fakes, chat: Ask) -> None:
    await fakes.script("openai", [Step(fault=FaultKind.BROKEN_JSON)])
    reply = await chat()
    assert reply.status_code == 200
    assert len(reply.content) == int(reply.headers["content-length"])
    with pytest.raises(json.JSONDecodeError):
        reply.json()


async def test_a_truncated_reply_ends_before_its_length(fakes: Fakes, chat: Ask) -> None:
    await fakes.script("openai", [Step(fault=FaultKind.TRUNCATED)])
    with pytest.raises(httpx2.RemoteProtocolError, match="without sending complete message body"):
        await chat()


@pytest.mark.parametrize("provider", ["openai", "anthropic", "runpod"])
async def test_a_gateway_error_is_html(fakes: Fakes, client: httpx2.AsyncClient, provider: str) -> None:
    await fakes.script(provider, [Step(fault=FaultKind.HTML_ERROR)])
    path = {"openai": "chat/completions", "anthropic": "messages"}.get(provider)
    url = f"{fakes.url(provider)}/v1/{path}" if path else f"{fakes.url(provider)}/v2/painter/run"
    reply = await client.post(url)
    assert reply.status_code == 502
    assert reply.headers["content-type"].startswith("text/html")
    assert "<html>" in reply.text


@pytest.mark.parametrize(
    ("form", "name", "value"),
    [
        (RetryAfterForm.SECONDS, "retry-after", "3"),
        (RetryAfterForm.FLOAT, "retry-after", "2.500"),
        (RetryAfterForm.MILLISECONDS, "retry-after-ms", "2500"),
    ],
)
async def test_a_429_says_when_to_come_back_in_the_form_asked_for(
    fakes: Fakes, message: Ask, form: RetryAfterForm, name: str, value: str
) -> None:
    await fakes.script(
        "anthropic", [Step(fault=FaultKind.RATE_LIMIT, retry_after=2.5, retry_after_form=form)]
    )
    reply = await message()
    assert reply.headers[name] == value
    assert len({"retry-after", "retry-after-ms"} & set(reply.headers)) == 1


async def test_a_429_may_give_a_date(fakes: Fakes, message: Ask) -> None:
    step = Step(fault=FaultKind.RATE_LIMIT, retry_after=20.0, retry_after_form=RetryAfterForm.DATE)
    await fakes.script("anthropic", [step])
    moment = parsedate_to_datetime((await message()).headers["retry-after"])
    assert 18.0 < (moment - datetime.now(UTC)).total_seconds() <= 21.0


@pytest.mark.parametrize("value", ["0", "-1", "3600", "soon"])
async def test_any_other_hint_can_be_put_into_the_headers(fakes: Fakes, message: Ask, value: str) -> None:
    await fakes.script("anthropic", [Step(fault=FaultKind.RATE_LIMIT, headers={"Retry-After": value})])
    assert (await message()).headers.get_list("retry-after") == [value]


async def test_a_bare_429_gives_no_hint(fakes: Fakes, message: Ask) -> None:
    await fakes.script("anthropic", [Step(fault=FaultKind.RATE_LIMIT_BARE)])
    reply = await message()
    assert reply.status_code == 429
    assert not [name for name in reply.headers if name.startswith("retry-after")]


async def test_requests_get_the_faults_the_plan_foretells(fakes: Fakes, message: Ask) -> None:
    weights = {FaultKind.SERVER_ERROR: 1.0, FaultKind.OVERLOADED: 1.0, FaultKind.RATE_LIMIT: 1.0}
    plan = FaultPlan(rate=0.5, seed=11, weights=weights)
    await fakes.set_plan("anthropic", plan)
    for _ in range(20):
        await message()
    given = [entry.fault for entry in await fakes.log("anthropic")]
    assert given == [plan.fault("anthropic", "messages", number) or "" for number in range(1, 21)]
    assert len(set(given)) == 4


async def test_polling_moves_no_fault_to_another_job(fakes: Fakes, runpod: Ask) -> None:
    plan = FaultPlan(rate=0.5, seed=5, weights={FaultKind.SERVER_ERROR: 1.0})
    await fakes.set_plan("runpod", plan)
    for number in range(1, 11):
        for _ in range(number % 3):
            await runpod("GET", "status/nobody")
        await runpod("POST", "run", json={"input": {}})
    given = [entry.fault for entry in await fakes.log("runpod") if entry.operation == "run"]
    assert given == [plan.fault("runpod", "run", number) or "" for number in range(1, 11)]


async def test_an_outage_after_requests_ends_after_its_seconds(fakes: Fakes, chat: Ask) -> None:
    await fakes.start_outage(Outage("openai", 1.0, after_requests=2))
    statuses = [(await chat()).status_code for _ in range(3)]
    await anyio.sleep(1.05)
    statuses.append((await chat()).status_code)
    assert statuses == [200, 200, 503, 200]
    assert (await fakes.statistics("openai")).outage_requests == 1


async def test_an_outage_after_seconds_begins_by_itself(fakes: Fakes, chat: Ask) -> None:
    await fakes.start_outage(Outage("openai", 30.0, after_seconds=1.0, status=500))
    assert (await chat()).status_code == 200
    await anyio.sleep(1.05)
    assert (await chat()).status_code == 500


async def test_an_outage_may_reset_connections(fakes: Fakes, chat: Ask) -> None:
    await fakes.start_outage(Outage("openai", 30.0, status=None))
    with pytest.raises(httpx2.ReadError):
        await chat()


async def test_an_outage_of_one_provider_leaves_the_others_alone(
    fakes: Fakes, chat: Ask, message: Ask
) -> None:
    await fakes.start_outage(Outage("anthropic", 30.0))
    assert (await message()).status_code == 503
    assert (await chat()).status_code == 200


async def test_a_body_too_large_is_refused_and_not_kept(fakes: Fakes, chat: Ask) -> None:
    reply = await chat("word " * 30_000)
    assert reply.status_code == 413
    assert (await fakes.log("openai"))[0].body == ""


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"seconds": 0.0}, "Outage.seconds"),
        ({"after_seconds": -1.0}, "Outage.after_seconds"),
        ({"after_seconds": 1.0, "after_requests": 1}, "drop one"),
        ({"status": 404}, "Outage.status"),
        ({"provider": "nobody"}, "nobody"),
    ],
)
def test_an_impossible_outage_is_refused_by_name(changes: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Outage(**{"provider": "openai", "seconds": 1.0, **changes})  # type: ignore[arg-type]
