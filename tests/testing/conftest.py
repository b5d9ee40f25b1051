"""The kit's tests run in virtual time on both backends, or on ``real`` ones in real time."""

import pytest

from relight.testing import virtual_backend


@pytest.fixture(params=["trio", "asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    """Run a test on each backend in virtual time; ``real-trio`` and ``real-asyncio`` in real time."""
    name = str(request.param)
    if name.startswith("real-"):
        return name.removeprefix("real-"), {}
    return virtual_backend(name)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
