"""Backends, virtual time and hypothesis profiles for the whole suite.

An async test names the one plugin that runs it: ``@pytest.mark.anyio`` (on trio and on asyncio),
``@pytest.mark.anyio`` with ``@virtual_time`` (on trio, hours pass in milliseconds; see
``tests/support/clocks.py``) or ``@pytest.mark.trio`` (pytest-trio, for what is trio's alone).
"""

import gc
import os
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

pytest_plugins = ["relight.testing.plugin"]

# A measured time says nothing on a busy machine. The backend is a fixture, but examples share nothing by it.
settings.register_profile(
    "local", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
settings.register_profile("ci", settings.get_profile("local"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.fixture(params=["trio", "asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    """Run a test on each backend; ``virtual_time`` puts others in its place."""
    return str(request.param), {}


@pytest.fixture(autouse=True)
def _structlog_as_it_was() -> Iterator[None]:
    """Forget what a test configured: capturing logs does, and events then go where nobody looks."""
    yield
    if structlog.is_configured():
        structlog.reset_defaults()


def pytest_collection_finish() -> None:
    """Leave half a million objects of modules and tests out of every search for garbage from now on."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a test that two plugins would run: the second would get a finished coroutine."""
    for item in items:
        if item.get_closest_marker("anyio") and item.get_closest_marker("trio"):
            raise pytest.UsageError(f"{item.nodeid}: mark it anyio or trio, not both")
