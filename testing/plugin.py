"""Fixtures for pytest.

Enable them in your top ``conftest.py``:

    pytest_plugins = ["relight.testing.plugin"]

It is no entry point: a suite that does not ask for it loads and notices nothing.

* ``virtual_system``: an open system in virtual time. A test marked ``anyio`` runs on trio and on asyncio in
  virtual time; one marked ``trio`` (pytest-trio) also asks for ``autojump_clock``.
* ``relight_system``: an open system in real time.
* ``@pytest.mark.virtual_time``: virtual time for an ``anyio`` test that opens systems itself. Give it a
  backend's name to run on that one alone.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, NamedTuple, cast

from ..supervisors import System, open_system
from ._clock import BackendName, is_virtual, virtual_backend

try:
    import pytest
except ImportError as error:
    raise ImportError("relight.testing.plugin needs pytest: pip install pytest") from error

if TYPE_CHECKING:
    from _pytest.fixtures import SubRequest


class _Virtual(NamedTuple):
    """Stands for a backend in virtual time until the test runs: each run needs a clock of its own."""

    backend: BackendName


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers", "virtual_time(*backends): run an anyio test in virtual time, on trio and asyncio"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run anyio tests that ask for virtual time on both backends, unless the test chooses its own."""
    marker = metafunc.definition.get_closest_marker("virtual_time")
    if marker is None and "virtual_system" not in metafunc.fixturenames:
        return
    if "anyio_backend" not in metafunc.fixturenames or _is_parametrized(metafunc):
        return
    names = cast("tuple[BackendName, ...]", marker.args if marker is not None else ())
    backends = names or ("trio", "asyncio")
    # As a mark: pytest drops the parameters of a fixture for those of a mark, not for a plugin's own.
    virtual = pytest.mark.parametrize("anyio_backend", [_Virtual(name) for name in backends], ids=backends)
    metafunc.definition.add_marker(virtual)


def _is_parametrized(metafunc: pytest.Metafunc) -> bool:
    marks = metafunc.definition.iter_markers("parametrize")
    return any(
        "anyio_backend" in str(mark.args[0] if mark.args else mark.kwargs["argnames"]) for mark in marks
    )


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[object], request: SubRequest) -> None:
    """Make a fresh clock for each test."""
    chosen = getattr(request, "param", None)
    if fixturedef.argname == "anyio_backend" and isinstance(chosen, _Virtual):
        request.param = virtual_backend(chosen.backend)


@pytest.fixture
async def virtual_system() -> AsyncGenerator[System, None]:
    """Open a system in virtual time."""
    if not is_virtual():
        pytest.fail(
            "virtual_system: this test runs in real time. With pytest-trio, ask for autojump_clock too; "
            "with anyio's plugin, leave anyio_backend to relight.testing.plugin, or use virtual_backend()",
            pytrace=False,
        )
    async with open_system() as system:
        yield system


@pytest.fixture
async def relight_system() -> AsyncGenerator[System, None]:
    """Open a system in real time, or in whatever time the test runs in."""
    async with open_system() as system:
        yield system
