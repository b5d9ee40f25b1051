"""Fakes run in child processes, on either backend, and end with whoever opened them."""

import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import anyio
import httpx2
import pytest

from relight.actors import MissingExtraError
from relight.actors.fakes import (
    FakeOptions,
    Fakes,
    FakeStartError,
    FaultKind,
    FaultPlan,
    Outage,
    Step,
    open_fakes,
)

pytestmark = pytest.mark.anyio

both_backends = pytest.mark.parametrize("anyio_backend", ["trio", "asyncio"])

SERVE = [sys.executable, "-m", "relight.actors.fakes"]

PARENT = """
import json, anyio
from relight.actors.fakes import open_fakes

async def main():
    async with open_fakes() as fakes:
        print(json.dumps([fakes.url(provider) for provider in fakes.providers]), flush=True)
        await anyio.sleep(60)

anyio.run(main, backend="trio")
"""


async def complete(fakes: Fakes, client: httpx2.AsyncClient) -> httpx2.Response:
    body = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
    headers = {"authorization": f"Bearer {fakes.key('openai')}"}
    return await client.post(f"{fakes.url('openai')}/v1/chat/completions", json=body, headers=headers)


def is_served(url: str) -> bool:
    try:
        httpx2.get(f"{url}/_fake/statistics", trust_env=False, verify=False)
    except httpx2.TransportError:
        return False
    return True


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30.0
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@both_backends
@pytest.mark.slow
async def test_fakes_are_gone_after_the_block_even_while_a_request_hangs(client: httpx2.AsyncClient) -> None:
    url = ""
    async with anyio.create_task_group() as tasks:
        with anyio.fail_after(60.0):
            async with open_fakes(["openai", "runpod"]) as fakes:
                url = fakes.url("openai")
                assert (await complete(fakes, client)).status_code == 200
                await fakes.script("openai", [Step(fault=FaultKind.HANG, delay=600.0)])
                tasks.start_soon(expect_failure, fakes, client)
                while not (await fakes.statistics("openai")).in_flight:  # noqa: ASYNC110 - another process
                    await anyio.sleep(0.01)
    assert not is_served(url)


async def expect_failure(fakes: Fakes, client: httpx2.AsyncClient) -> None:
    with pytest.raises(httpx2.TransportError):
        await complete(fakes, client)


async def test_a_fake_that_was_not_opened_has_no_address(fakes: Fakes) -> None:
    assert fakes.providers == ("openai", "anthropic", "runpod", "elevenlabs", "supabase")
    assert all(fakes.url(provider).startswith("http://127.0.0.1:") for provider in fakes.providers)
    with pytest.raises(ValueError, match="no fake of 'nobody'"):
        fakes.url("nobody")


@pytest.mark.slow
async def test_a_cancelled_block_ends_its_processes(client: httpx2.AsyncClient) -> None:
    url = ""
    with anyio.move_on_after(60.0) as scope:
        async with open_fakes(["openai"]) as fakes:
            url = fakes.url("openai")
            scope.cancel()
            await anyio.sleep_forever()
    assert url
    assert not is_served(url)


@pytest.mark.slow
async def test_with_a_process_each_one_can_be_killed_and_the_other_goes_on(
    client: httpx2.AsyncClient,
) -> None:
    async with open_fakes(["openai", "anthropic"], processes="each") as fakes:
        await fakes.kill("anthropic")
        assert not is_served(fakes.url("anthropic"))
        assert (await complete(fakes, client)).status_code == 200


@both_backends
async def test_a_process_that_ends_before_it_is_ready_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = shutil.which("true")
    assert nothing is not None
    monkeypatch.setattr(sys, "executable", nothing)
    with pytest.raises(FakeStartError, match="did not get ready"):
        async with open_fakes(["openai"]):
            pass


@pytest.mark.parametrize("missing", ["starlette", "hypercorn"])
async def test_without_a_web_server_the_error_names_the_extra(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtraError, match=r"relight\[web\]"):
        async with open_fakes(["openai"]):
            pass


async def test_without_an_http_client_steering_names_the_extra(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(MissingExtraError, match=r"relight\[http\]"):
        await fakes.log("openai")


@pytest.mark.slow
def test_fakes_end_when_their_parent_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        urls: list[str] = json.loads(parent.stdout.readline())
        assert all(is_served(url) for url in urls)
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait(5.0)
        wait_until(lambda: not any(is_served(url) for url in urls))


@pytest.mark.slow
def test_the_command_prints_where_the_fakes_are_and_ends_with_its_input() -> None:
    command = [*SERVE, "--until-eof", "--provider", "openai", "--outage", "openai:0:60"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        addresses = json.loads(server.stdout.readline())
        url = addresses["openai"]["url"]
        assert addresses == {"openai": {"url": url, "key": "fake-openai-key"}}
        assert httpx2.post(f"{url}/v1/chat/completions", trust_env=False, verify=False).status_code == 503
        server.stdin.close()
        assert server.wait(5.0) == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--rate", "2"], "FaultPlan.rate must be 0..1, got 2.0"),
        (["--provider", "nobody"], "there is no fake of 'nobody'"),
        (["--outage", "openai:soon:4"], "--outage must be PROVIDER:AFTER:SECONDS, got 'openai:soon:4'"),
    ],
)
def test_the_command_refuses_bad_options_in_one_line(
    arguments: list[str], text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["fakes", *arguments])
    with pytest.raises(SystemExit) as exit_:
        runpy.run_module("relight.actors.fakes", run_name="__main__")
    output = capsys.readouterr()
    assert exit_.value.code == 2
    assert output.out == ""
    assert output.err.startswith("relight fakes: error: ")
    assert text in output.err
    assert len(output.err.splitlines()) == 1


@pytest.mark.slow
def test_importing_the_fakes_loads_no_web_server() -> None:
    code = "import sys, relight.actors.fakes; print(sorted({'starlette', 'hypercorn'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("providers", "choices", "text"),
    [
        ([], {}, "at least one"),
        (["openai", "openai"], {}, "once"),
        (["nobody"], {}, "no fake of 'nobody'"),
        (["openai"], {"plan": {"runpod": FaultPlan()}}, "a plan for 'runpod'"),
        (["openai"], {"options": {"runpod": FakeOptions()}}, "options for 'runpod'"),
        (["openai"], {"outages": [Outage("runpod", 1.0)]}, "an outage for 'runpod'"),
    ],
)
async def test_what_cannot_be_opened_is_refused_before_anything_starts(
    providers: list[str], choices: dict[str, object], text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        async with open_fakes(providers, **choices):  # type: ignore[arg-type]
            pass
