"""The examples are found in the clone, also when the tests run against the wheel from somewhere else."""

import sys
from collections.abc import Iterator

import pytest
from anyio.from_thread import start_blocking_portal

from relight.fakes import Fakes, open_fakes
from tests.support.tree import ROOT

if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))


@pytest.fixture(scope="session")
def served() -> Iterator[Fakes]:
    """Open the fakes once, in a thread; every test resets them."""
    from examples.common.services import OPTIONS, PROVIDERS

    with (
        start_blocking_portal("trio") as portal,
        portal.wrap_async_context_manager(open_fakes(PROVIDERS, options=OPTIONS)) as fakes,
    ):
        yield fakes


@pytest.fixture
async def fakes(served: Fakes) -> Fakes:
    for name in served.providers:
        await served.reset(name)
    return served
