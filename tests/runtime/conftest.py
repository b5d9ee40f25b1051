"""The runtime's tests run in virtual time on both backends: hours pass at once, what hangs fails at once."""

import pytest
from trio.testing import MockClock

from tests.runtime.clocks import JumpingLoop


@pytest.fixture(params=["trio", "asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    """Run a test on each backend in virtual time; on ``uvloop`` in real time."""
    if request.param == "trio":
        return "trio", {"clock": MockClock(autojump_threshold=0)}
    if request.param == "uvloop":
        pytest.importorskip("uvloop")
        return "asyncio", {"use_uvloop": True}
    return "asyncio", {"loop_factory": JumpingLoop}
