"""The suite's own fixtures do what the tests rely on."""

import anyio
import pytest
import sniffio
import trio
from hypothesis import given
from hypothesis import strategies as st

from tests import conftest
from tests.support.clocks import virtual_time


@pytest.mark.anyio
async def test_an_anyio_test_runs_on_the_backend_it_names(anyio_backend_name: str) -> None:
    assert sniffio.current_async_library() == anyio_backend_name


@pytest.mark.anyio
@virtual_time
async def test_hours_pass_at_once_in_virtual_time(anyio_backend_name: str) -> None:
    assert anyio_backend_name == "trio"
    began = anyio.current_time()
    await anyio.sleep(3600)
    assert anyio.current_time() - began == pytest.approx(3600)


@pytest.mark.anyio
@virtual_time
@given(seconds=st.integers(0, 1000))
async def test_virtual_time_serves_every_example_of_a_property(seconds: int) -> None:
    began = anyio.current_time()
    await anyio.sleep(seconds)
    assert anyio.current_time() - began == pytest.approx(seconds)


@pytest.mark.trio
async def test_a_trio_test_is_left_to_pytest_trio(request: pytest.FixtureRequest) -> None:
    await trio.lowlevel.checkpoint()
    assert "anyio_backend" not in request.fixturenames


def test_a_test_that_two_plugins_would_run_is_refused(request: pytest.FixtureRequest) -> None:
    item: pytest.Item = request.node
    conftest.pytest_collection_modifyitems([item])
    item.add_marker("anyio")
    item.add_marker("trio")
    with pytest.raises(pytest.UsageError, match="anyio or trio, not both"):
        conftest.pytest_collection_modifyitems([item])
