"""Virtual time: it jumps when all wait, on both backends, and is told from real time."""

import math

import anyio
import anyio.lowlevel
import pytest

from relight.testing import is_virtual, jump, run_virtual, settle, virtual_backend
from tests.testing.actors import real_time


async def _an_hour() -> float:
    assert is_virtual()
    began = anyio.current_time()
    await anyio.sleep(3600)
    return anyio.current_time() - began


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_an_hour_passes_at_once_from_ordinary_code(backend: str) -> None:
    assert run_virtual(_an_hour, backend=backend) == pytest.approx(3600)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_each_backend_is_made_afresh() -> None:
    assert virtual_backend("trio")[1]["clock"] is not virtual_backend("trio")[1]["clock"]


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(ValueError, match="must be 'trio' or 'asyncio', got 'curio'"):
        virtual_backend("curio")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.anyio
async def test_time_begins_at_zero_and_deadlines_expire_in_order() -> None:
    began = anyio.current_time()
    moments: list[float] = []

    async def sleep(seconds: float) -> None:
        await anyio.sleep(seconds)
        moments.append(anyio.current_time() - began)

    async with anyio.create_task_group() as group:
        for seconds in (300.0, 0.5, 86_400.0 * 30, 2.0):
            group.start_soon(sleep, seconds)
    assert moments == pytest.approx([0.5, 2.0, 300.0, 86_400.0 * 30])


@pytest.mark.anyio
async def test_a_jump_makes_time_pass_before_anybody_has_noticed() -> None:
    with anyio.move_on_after(5) as scope:
        jump(60)
        assert not scope.cancelled_caught
        await anyio.sleep(1)
    assert scope.cancelled_caught


@pytest.mark.anyio
async def test_a_deadline_a_hair_ahead_is_waited_for() -> None:
    """Asyncio would call it now, and anyio's cancel scopes find that it is too early: a loop without end."""
    await anyio.sleep(1.0 - anyio.current_time())
    due = math.nextafter(1.0, 2.0)
    reached: list[float] = []

    async def wait() -> None:
        with anyio.CancelScope(deadline=due):
            await anyio.sleep_forever()
        reached.append(anyio.current_time())

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await anyio.lowlevel.checkpoint()
        await settle()
        await anyio.sleep(1)
    assert reached == [due]


@pytest.mark.anyio
async def test_settling_lets_all_run_and_no_time_pass() -> None:
    began = anyio.current_time()
    ran: list[int] = []

    async def run() -> None:
        for step in range(5):
            await anyio.lowlevel.checkpoint()
            ran.append(step)
        await anyio.sleep(1)
        ran.append(99)

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        await settle()
        assert ran == [0, 1, 2, 3, 4]
        assert anyio.current_time() == began


@pytest.mark.anyio
@real_time
async def test_real_time_is_told_from_virtual_time() -> None:
    assert not is_virtual()
    await settle()
    with pytest.raises(RuntimeError, match="real time"):
        jump(1)
