"""The pytest plugin, in suites of its own: what people who ask for it get, and nobody else."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SUITE = """
import anyio
import pytest
import trio

import relight
from relight import Actor, Child, Request, handles
from relight.testing import is_virtual

clocks = []


class Nap(Request[float], frozen=True):
    seconds: float


class Sleeper(Actor):
    @handles
    async def nap(self, message: Nap) -> float:
        await anyio.sleep(message.seconds)
        return anyio.current_time()


@pytest.mark.anyio
@pytest.mark.parametrize("number", [1, 2])
async def test_virtual_system(virtual_system, anyio_backend_name, number):
    sleeper = await virtual_system.spawn(Child("sleeper", Sleeper))
    assert await sleeper.ask(Nap(3600), timeout=4000) == pytest.approx(3600), "each test begins at 0"


@pytest.mark.anyio
@pytest.mark.virtual_time
async def test_marked():
    assert is_virtual()
    async with relight.open_system() as system:
        sleeper = await system.spawn(Child("sleeper", Sleeper))
        assert await sleeper.ask(Nap(3600), timeout=4000) == pytest.approx(3600)


@pytest.mark.anyio
@pytest.mark.virtual_time("asyncio")
async def test_marked_for_one(anyio_backend_name):
    assert (is_virtual(), anyio_backend_name) == (True, "asyncio")


@pytest.mark.anyio
@pytest.mark.virtual_time
@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_own_backend():
    assert not is_virtual()


@pytest.mark.anyio
async def test_real_time(relight_system):
    assert not is_virtual()
    sleeper = await relight_system.spawn(Child("sleeper", Sleeper))
    assert await sleeper.ask(Nap(0.001)) > 0


@pytest.mark.trio
async def test_trio(virtual_system, autojump_clock):
    sleeper = await virtual_system.spawn(Child("sleeper", Sleeper))
    assert await sleeper.ask(Nap(3600), timeout=4000) == pytest.approx(3600)


@pytest.mark.trio
async def test_trio_in_real_time(virtual_system):
    pass


@pytest.mark.virtual_time
def test_synchronous():
    pass
"""


def run(folder: Path, conftest: str, *options: str) -> str:
    (folder / "conftest.py").write_text(conftest)
    (folder / "test_suite.py").write_text(SUITE)
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "--strict-markers", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_fixtures_and_marker_give_virtual_time_on_both_backends(tmp_path: Path) -> None:
    output = run(tmp_path, 'pytest_plugins = ["relight.testing.plugin"]\n')
    passed = sorted(line.split("::")[1].split(" ")[0] for line in output.splitlines() if " PASSED" in line)
    assert passed == sorted(
        [
            "test_virtual_system[1-trio]",
            "test_virtual_system[2-trio]",
            "test_virtual_system[1-asyncio]",
            "test_virtual_system[2-asyncio]",
            "test_marked[trio]",
            "test_marked[asyncio]",
            "test_marked_for_one[asyncio]",
            "test_own_backend[trio]",
            "test_real_time[asyncio]",
            "test_real_time[trio]",
            "test_trio",
            "test_synchronous",
        ]
    ), output
    assert "this test runs in real time. With pytest-trio, ask for autojump_clock too" in output
    assert "1 failed, 12 passed" in output


def test_who_does_not_ask_for_it_does_not_load_it(tmp_path: Path) -> None:
    conftest = """
import sys

def pytest_collection_modifyitems():
    assert not [name for name in sys.modules if name.startswith("relight")]
"""
    (tmp_path / "test_other.py").write_text("def test_other(): pass\n")
    (tmp_path / "conftest.py").write_text(conftest)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_other.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "1 passed" in done.stdout, done.stdout


def test_without_pytest_it_says_what_to_install(tmp_path: Path) -> None:
    program = "import sys; sys.modules['pytest'] = None; import relight.testing.plugin"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "relight.testing.plugin needs pytest: pip install pytest" in done.stderr
