"""The fake of RunPod takes jobs and shows their states as RunPod does."""

import struct
import zlib
from base64 import b64decode
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import httpx2
import pytest

from relight.actors.fakes import Fakes, FaultKind, Step

Ask = Callable[..., Coroutine[None, None, httpx2.Response]]

pytestmark = pytest.mark.anyio

PAINT = {"input": {"prompt": "a tower in the rain"}}


async def submit(runpod: Ask, order: object = PAINT) -> str:
    reply = await runpod("POST", "run", json=order)
    assert (reply.status_code, reply.json()["status"]) == (200, "IN_QUEUE")
    return str(reply.json()["id"])


async def states(runpod: Ask, job: str, last: set[str]) -> tuple[list[str], dict[str, Any]]:
    """Poll *job* until its status is in *last*; return the states seen, each once, and the last reply."""
    seen: list[str] = []
    body: dict[str, Any] = {}
    with anyio.fail_after(30.0):
        while not seen or seen[-1] not in last:
            body = (await runpod("GET", f"status/{job}")).json()
            if body["status"] not in seen:
                seen.append(body["status"])
            await anyio.sleep(0.005)
    return seen, body


def pixels(png: bytes) -> bytes:
    """Read a PNG's pixels, checking signature and checksums on the way."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    at, data = 8, b""
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        name, content = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", png, at + 8 + length)[0] == zlib.crc32(name + content)
        if name == b"IHDR":
            assert struct.unpack(">IIBBBBB", content) == (64, 64, 8, 2, 0, 0, 0)
        data += content if name == b"IDAT" else b""
        at += 12 + length
    return zlib.decompress(data)


async def test_a_job_goes_through_its_states_and_ends_with_an_image(fakes: Fakes, runpod: Ask) -> None:
    await fakes.script("runpod", [Step(queue_seconds=0.5, run_seconds=0.5)])
    seen, body = await states(runpod, await submit(runpod), {"COMPLETED"})
    assert seen == ["IN_QUEUE", "IN_PROGRESS", "COMPLETED"]
    assert body["delayTime"] == body["executionTime"] == 500
    assert len(pixels(b64decode(body["output"]["images"][0]))) == 64 * (1 + 64 * 3)


async def test_the_image_is_the_prompts_own(runpod: Ask) -> None:
    prompts = ["a tower", "a tower", "a well"]
    images: list[object] = []
    for prompt in prompts:
        _, body = await states(runpod, await submit(runpod, {"input": {"prompt": prompt}}), {"COMPLETED"})
        images.append(body["output"])
    first, same, other = images
    assert first == same != other


async def test_a_failed_job_says_so_in_its_status_not_in_http(fakes: Fakes, runpod: Ask) -> None:
    await fakes.script("runpod", [Step(fault=FaultKind.JOB_FAILED)])
    _, body = await states(runpod, await submit(runpod), {"FAILED", "COMPLETED"})
    assert body["status"] == "FAILED"
    assert "CUDA out of memory" in body["error"]
    assert "output" not in body


async def test_a_cold_start_keeps_the_job_in_the_queue(fakes: Fakes, runpod: Ask) -> None:
    await fakes.script("runpod", [Step(fault=FaultKind.COLD_START)])
    _, body = await states(runpod, await submit(runpod), {"COMPLETED"})
    assert body["delayTime"] == 300


async def test_a_job_that_runs_too_long_is_timed_out(fakes: Fakes, runpod: Ask) -> None:
    await fakes.script("runpod", [Step(run_seconds=5.0)])
    job = await submit(runpod, {**PAINT, "policy": {"executionTimeout": 30}})
    _, body = await states(runpod, job, {"TIMED_OUT", "COMPLETED"})
    assert (body["status"], body["executionTime"]) == ("TIMED_OUT", 30)


async def test_a_job_whose_time_to_live_is_over_is_unknown(fakes: Fakes, runpod: Ask) -> None:
    await fakes.script("runpod", [Step(run_seconds=5.0)])
    job = await submit(runpod, {**PAINT, "policy": {"ttl": 30}})
    await anyio.sleep(0.04)
    assert (await runpod("GET", f"status/{job}")).status_code == 404


async def test_more_jobs_than_workers_wait_for_one(fakes: Fakes, runpod: Ask) -> None:
    await fakes.script("runpod", [Step(operation="run", run_seconds=1.0, times=9)])
    jobs = [await submit(runpod) for _ in range(9)]
    _, last = await states(runpod, jobs[-1], {"COMPLETED"})
    _, first = await states(runpod, jobs[0], {"COMPLETED"})
    assert first["delayTime"] < last["delayTime"] <= 1000


async def test_a_cancelled_job_stays_cancelled(fakes: Fakes, runpod: Ask) -> None:
    await fakes.script("runpod", [Step(run_seconds=5.0)])
    job = await submit(runpod)
    assert (await runpod("POST", f"cancel/{job}")).json()["status"] == "CANCELLED"
    assert (await runpod("GET", f"status/{job}")).json()["status"] == "CANCELLED"


async def test_cancelling_a_completed_job_changes_nothing(runpod: Ask) -> None:
    job = await submit(runpod)
    await states(runpod, job, {"COMPLETED"})
    assert (await runpod("POST", f"cancel/{job}")).json()["status"] == "COMPLETED"


async def test_a_failed_job_is_begun_again_under_its_id(fakes: Fakes, runpod: Ask) -> None:
    await fakes.script("runpod", [Step(fault=FaultKind.JOB_FAILED)])
    job = await submit(runpod)
    await states(runpod, job, {"FAILED"})
    assert (await runpod("POST", f"retry/{job}")).json() == {"id": job, "status": "IN_QUEUE"}
    _, body = await states(runpod, job, {"FAILED", "COMPLETED"})
    assert body["status"] == "COMPLETED"
    assert (await runpod("GET", "health")).json()["jobs"]["retried"] == 1


async def test_a_job_that_ran_out_of_its_time_may_do_so_again(fakes: Fakes, runpod: Ask) -> None:
    await fakes.script("runpod", [Step(run_seconds=5.0), Step(operation="retry", run_seconds=5.0)])
    job = await submit(runpod, {**PAINT, "policy": {"executionTimeout": 30}})
    await states(runpod, job, {"TIMED_OUT"})
    assert (await runpod("POST", f"retry/{job}")).status_code == 200
    _, body = await states(runpod, job, {"TIMED_OUT", "COMPLETED"})
    assert body["executionTime"] == 30


async def test_a_job_that_did_not_fail_is_not_begun_again(runpod: Ask) -> None:
    job = await submit(runpod)
    assert (await runpod("POST", f"retry/{job}")).status_code == 400
    await states(runpod, job, {"COMPLETED"})
    assert (await runpod("POST", f"retry/{job}")).status_code == 400


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "status/nobody"), ("POST", "cancel/nobody"), ("POST", "retry/nobody")]
)
async def test_an_unknown_job_is_not_found(runpod: Ask, method: str, path: str) -> None:
    reply = await runpod(method, path)
    assert reply.status_code == 404
    assert reply.json()["error"]


async def test_health_counts_jobs_and_workers(fakes: Fakes, runpod: Ask) -> None:
    await fakes.script("runpod", [Step(run_seconds=5.0)])
    await submit(runpod)
    body = (await runpod("GET", "health")).json()
    assert body["jobs"]["inProgress"] == body["workers"]["running"] == 1
    assert body["workers"]["idle"] == 7


async def test_a_wrong_key_is_refused(runpod: Ask) -> None:
    assert (await runpod("GET", "health", key="wrong")).status_code == 401


@pytest.mark.parametrize("order", [{}, {"input": "a tower"}, {"input": {}, "policy": {"ttl": "long"}}])
async def test_an_order_that_makes_no_sense_is_refused(runpod: Ask, order: object) -> None:
    assert (await runpod("POST", "run", json=order)).status_code == 400
