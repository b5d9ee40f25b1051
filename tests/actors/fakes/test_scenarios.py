"""A request can bring its scenario along, and every error has a name."""

from collections.abc import Callable, Coroutine

import httpx2
import pytest

from relight.actors.fakes import ERRORS, Fakes, FaultKind, Step

Ask = Callable[..., Coroutine[None, None, httpx2.Response]]

pytestmark = pytest.mark.anyio


@pytest.fixture
def play(fakes: Fakes, client: httpx2.AsyncClient) -> Ask:
    """Ask the fake of OpenAI for a chat completion with a scenario."""

    async def ask(scenario: str) -> httpx2.Response:
        body = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
        headers = {"authorization": "Bearer fake-openai-key", "x-scenario": scenario}
        return await client.post(f"{fakes.url('openai')}/v1/chat/completions", json=body, headers=headers)

    return ask


async def test_a_scenario_is_played_request_by_request_and_its_last_stays(fakes: Fakes, play: Ask) -> None:
    statuses = [(await play("unavailable, conflict, ok")).status_code for _ in range(5)]
    assert statuses == [503, 409, 200, 200, 200]
    assert {entry.source for entry in await fakes.log("openai")} == {"scenario"}


async def test_what_stands_before_the_colon_keeps_scenarios_apart(play: Ask) -> None:
    replies = [await play(f"{test}:quota,ok") for test in ("one", "two", "one", "two")]
    assert [reply.status_code for reply in replies] == [429, 429, 200, 200]


async def test_a_reset_starts_scenarios_anew(fakes: Fakes, play: Ask) -> None:
    statuses = [(await play("auth,ok")).status_code for _ in range(2)]
    await fakes.reset("openai")
    statuses.append((await play("auth,ok")).status_code)
    assert statuses == [401, 200, 401]


async def test_a_step_comes_before_a_scenario_and_does_not_use_it_up(fakes: Fakes, play: Ask) -> None:
    await fakes.script("openai", [Step(status=418, body="{}")])
    assert [(await play("quota,ok")).status_code for _ in range(2)] == [418, 429]


async def test_a_scenario_nobody_knows_is_refused_by_name(play: Ask) -> None:
    reply = await play("no_such")
    assert reply.status_code == 400
    assert "'no_such'" in reply.json()["error"]


OPENAI = {
    "rate_limit_tokens": (429, "tokens", "rate_limit_exceeded"),
    "credit_balance_exhausted": (429, "insufficient_quota", "credit_balance_exhausted"),
    "organization_spend_limit_exceeded": (429, "insufficient_quota", "organization_spend_limit_exceeded"),
    "project_spend_limit_exceeded": (429, "insufficient_quota", "project_spend_limit_exceeded"),
    "organization_usage_limit_exceeded": (429, "insufficient_quota", "organization_usage_limit_exceeded"),
    "billing_not_active": (429, "insufficient_quota", "billing_not_active"),
    "usage_limit_exceeded": (429, "insufficient_quota", "usage_limit_exceeded"),
    "image_content_policy_violation": (400, "invalid_request_error", "image_content_policy_violation"),
    "invalid_prompt": (400, "invalid_request_error", "invalid_prompt"),
    "unsupported_country_region_territory": (
        403,
        "request_forbidden",
        "unsupported_country_region_territory",
    ),
    "timeout": (408, "timeout", None),
    "conflict": (409, "invalid_request_error", "conflict"),
    "unprocessable": (422, "invalid_request_error", None),
    "azure_content_filter": (400, None, "content_filter"),
    "azure_high_demand": (429, "too_many_requests", "429"),
    "compatible_number": (400, "BadRequestError", 400),
}

ANTHROPIC = {
    "usage_limits_reached": (400, "invalid_request_error", None),
    "linked_organization_spend_limit_reached": (
        402,
        "billing_error",
        "linked_organization_spend_limit_reached",
    ),
    "linked_organization_billing_unavailable": (
        402,
        "billing_error",
        "linked_organization_billing_unavailable",
    ),
    "permission_error": (403, "permission_error", None),
    "enforced_spend_limit_reached": (429, "rate_limit_error", "enforced_spend_limit_reached"),
    "contract_spend_limit_reached": (429, "rate_limit_error", "contract_spend_limit_reached"),
    "timeout_error": (504, "timeout_error", None),
}


@pytest.mark.parametrize(("name", "expected"), OPENAI.items())
async def test_openais_errors_have_names(
    play: Ask, name: str, expected: tuple[int, str | None, str | int | None]
) -> None:
    reply = await play(name)
    error = reply.json()["error"]
    assert (reply.status_code, error["type"], error["code"]) == expected


async def test_a_compatible_server_may_answer_flat(play: Ask) -> None:
    reply = await play("compatible_flat")
    assert (reply.status_code, reply.json()["code"], reply.json()["object"]) == (400, 400, "error")


@pytest.mark.parametrize(("name", "expected"), ANTHROPIC.items())
async def test_anthropics_errors_have_names(
    fakes: Fakes, message: Ask, name: str, expected: tuple[int, str, str | None]
) -> None:
    await fakes.script("anthropic", [Step(error=name)])
    reply = await message()
    error = reply.json()["error"]
    code = error["details"] and error["details"]["error_code"]
    assert (reply.status_code, error["type"], code) == expected
    assert "retry-after" not in reply.headers


async def test_a_gateway_may_refuse_what_is_too_large_in_html(fakes: Fakes, message: Ask) -> None:
    await fakes.script("anthropic", [Step(error="request_too_large_html")])
    reply = await message()
    assert reply.status_code == 413
    assert reply.headers["content-type"].startswith("text/html")


async def test_a_fault_can_be_named_as_an_error_too(fakes: Fakes, message: Ask) -> None:
    await fakes.script("anthropic", [Step(error="rate_limit"), Step(error="html_error")])
    limited, html = await message(), await message()
    assert limited.headers["retry-after"] == "1"
    assert html.status_code == 502


def test_the_names_of_errors_are_listed() -> None:
    assert set(ERRORS["openai"]) == {*OPENAI, "compatible_flat"}
    assert set(ERRORS["anthropic"]) == {*ANTHROPIC, "request_too_large_html"}
    assert not {*ERRORS["openai"], *ERRORS["anthropic"]} & set(FaultKind)
