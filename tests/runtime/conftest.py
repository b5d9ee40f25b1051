"""The runtime's tests run in virtual time on both backends: hours pass at once, what hangs fails at once."""

import pytest

from relight.testing import virtual_backend


@pytest.fixture(params=["trio", "asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    """Run a test on each backend in virtual time; on ``uvloop`` in real time."""
    if request.param == "uvloop":
        pytest.importorskip("uvloop")
        return "asyncio", {"use_uvloop": True}
    return virtual_backend(request.param)
