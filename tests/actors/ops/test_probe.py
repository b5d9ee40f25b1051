"""The probe command: one call through the real service, over fakes and a server that is no provider's."""

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import anyio.to_thread
import pytest
from anyio.from_thread import start_blocking_portal

from relight.__main__ import main
from relight.actors import Service
from relight.actors.fakes import FakeOptions, FaultKind, Step, open_fakes
from relight.actors.ops import add_probe_parser, run_probe
from relight.actors.providers import PROVIDERS
from tests.actors.raw_http import HANG, http, http_json, serve

KEYS = {"OPENAI_API_KEY": "sk-hunter2", "ANTHROPIC_API_KEY": "sk-hunter2", "RUNPOD_API_KEY": "rp-hunter2"}


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def probe(
    *line: str, services: tuple[type[Service], ...] = PROVIDERS, environ: Mapping[str, str] | None = None
) -> int:
    parser = argparse.ArgumentParser()
    add_probe_parser(parser.add_subparsers())
    args = parser.parse_args(["probe", *line])
    return run_probe(args, services=services, environ={**KEYS, **(environ or {})})


def probe_raw(reply: bytes, *line: str) -> tuple[int, list[bytes]]:
    """Probe OpenAI at a server that answers *reply*; returns the exit status and the requests."""

    async def go() -> tuple[int, list[bytes]]:
        async with serve(reply) as server:
            status = await anyio.to_thread.run_sync(
                lambda: probe(*line, environ={"OPENAI_BASE_URL": server.url})
            )
            return status, server.requests

    return anyio.run(go)


LIMITS = ("X-RateLimit-Remaining-Requests: 59", "x-request-id: req-1")


def test_an_answer_is_told_with_its_time_cost_and_limits(capsys: pytest.CaptureFixture[str]) -> None:
    status, requests = probe_raw(http_json(200, {"data": []}, *LIMITS), "openai")
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert (status, err, len(requests)) == (0, "", 1)
    assert b"GET /models HTTP/1.1" in requests[0]
    assert b"Bearer sk-hunter2" in requests[0]
    assert lines[0].startswith("openai: ok, HTTP 200, 0.")
    assert lines[1:] == [
        "sent: GET /models (lists the models)",
        "cost: at most $0.000000, estimated",
        "x-ratelimit-remaining-requests: 59",
    ]


def test_a_failure_is_told_with_its_kind_and_sent_once(capsys: pytest.CaptureFixture[str]) -> None:
    body = {"error": {"message": "no money", "code": "insufficient_quota"}}
    status, requests = probe_raw(http_json(429, body, "retry-after: 7"), "openai")
    out = capsys.readouterr().out
    assert (status, len(requests)) == (1, 1)
    assert "openai: failed (quota), HTTP 429, " in out
    assert "no money" in out
    assert "try again after: 7 s" in out


def test_machines_are_told_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    status, _ = probe_raw(http_json(401, {"error": {"message": "sk-hunter2 is wrong"}}), "openai", "--json")
    out = capsys.readouterr().out
    told = json.loads(out)
    assert (status, told["ok"], told["kind"], told["status"], told["usd"]) == (1, False, "auth", 401, 0.0)
    assert told["request"] == "GET /models"
    assert "hunter2" not in out


@pytest.mark.parametrize(
    ("provider", "path"), [("supabase", b"/rest/v1/"), ("supabase_storage", b"/storage/v1/bucket")]
)
def test_a_supabase_project_is_looked_at(provider: str, path: bytes) -> None:
    async def go() -> tuple[int, list[bytes]]:
        async with serve(http_json(200, [])) as server:
            environ = {"SUPABASE_URL": server.url, "SUPABASE_KEY": "sb-hunter2"}
            return await anyio.to_thread.run_sync(lambda: probe(provider, environ=environ)), server.requests

    status, requests = anyio.run(go)
    assert (status, len(requests)) == (0, 1)
    assert requests[0].startswith(b"GET " + path + b" HTTP")


def test_silence_ends_with_the_time_that_was_given(capsys: pytest.CaptureFixture[str]) -> None:
    status, _ = probe_raw(HANG, "openai", "--timeout", "0.2")
    assert status == 1
    assert "failed (timeout)" in capsys.readouterr().out


def test_any_address_can_be_probed(capsys: pytest.CaptureFixture[str]) -> None:
    async def go() -> tuple[int, list[bytes]]:
        async with serve(http(204)) as server:
            line = (f"{server.url}/health?token=hunter2",)
            return await anyio.to_thread.run_sync(lambda: probe(*line)), server.requests

    status, requests = anyio.run(go)
    out = capsys.readouterr().out
    assert status == 0
    assert b"GET /health?token=hunter2 " in requests[0]
    assert "sent: GET /health (" in out
    assert "hunter2" not in out


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(
    ("line", "environ", "problem"),
    [
        (["openia"], {}, "openia: is no provider (there are "),
        (["ftp://a.example"], {}, "no http(s) URL"),
        (["openai"], {"OPENAI_API_KEY": ""}, "OPENAI_API_KEY: is not set"),
        (["runpod"], {}, "RUNPOD_ENDPOINT_ID: is not set"),
        (["openai"], {"RELIGHT_LOG_LEVEL": "loud"}, "log_level: must be one of"),
        (["openai", "--file", "none.toml"], {}, "none.toml: there is no such file"),
        (["plain"], {}, "plain: can't be probed: it does not find its key in the environment"),
        (["silent"], {}, "silent: can't be probed: nothing cheap can be asked of it"),
    ],
)
def test_what_can_not_be_sent_is_exit_status_2(
    capsys: pytest.CaptureFixture[str], line: list[str], environ: dict[str, str], problem: str, as_json: bool
) -> None:
    class Plain(Service):
        provider = "plain"

    class Silent(Service):
        provider = "silent"

        @classmethod
        def from_env(cls, env: object) -> "Silent":
            return cls()

    options = ["--json"] if as_json else []
    assert probe(*line, *options, services=(*PROVIDERS, Plain, Silent), environ=environ) == 2
    out, err = capsys.readouterr()
    if as_json:
        told = json.loads(out)
        assert (told["ok"], told["sent"], err) == (False, False, "")
        assert problem in told["error"]
    else:
        assert (out, problem in err, err.count("\n")) == ("", True, 1)


# --- over the fakes -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def environ() -> Iterator[dict[str, str]]:
    """The environment of a user whose providers are fakes."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(open_fakes(options=FakeOptions(latency=(0.0, 0.0)))) as fakes,
    ):
        portal.call(fakes.script, "anthropic", [Step(fault=FaultKind.OVERLOADED)])
        yield {
            "OPENAI_BASE_URL": f"{fakes.url('openai')}/v1",
            "OPENAI_API_KEY": fakes.key("openai"),
            "ANTHROPIC_BASE_URL": fakes.url("anthropic"),
            "ANTHROPIC_API_KEY": fakes.key("anthropic"),
            "ELEVENLABS_BASE_URL": fakes.url("elevenlabs"),
            "ELEVENLABS_API_KEY": fakes.key("elevenlabs"),
            "RUNPOD_BASE_URL": f"{fakes.url('runpod')}/v2",
            "RUNPOD_API_KEY": fakes.key("runpod"),
            "RUNPOD_ENDPOINT_ID": "endpoint",
        }


def test_each_provider_answers_its_own_probe(
    environ: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert probe("anthropic", "--json", environ=environ) == 1, "its overload is scripted, and not retried"
    assert json.loads(capsys.readouterr().out)["kind"] == "overloaded"
    for line in (["anthropic"], ["openai", "--model", "gpt-4o-mini"], ["runpod"], ["elevenlabs"]):
        assert probe(*line, "--json", environ=environ) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["status"], told["usd"] < 0.0001) == (200, True)


def test_the_command_line_knows_it(
    environ: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in environ.items():
        monkeypatch.setenv(name, text)
    assert main(["probe", "openai", "--model", "nobody-knows-its-price"]) == 0
    assert "cost: unknown: no price for it" in capsys.readouterr().out
