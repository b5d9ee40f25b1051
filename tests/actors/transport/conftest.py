"""Fakes for official clients, opened once; each test begins with them reset."""

from collections.abc import Iterator, Sequence

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from relight.actors.fakes import FakeOptions, Fakes, LogEntry, Step, open_fakes


class Servers:
    """The fakes, steered from outside the test's event loop."""

    def __init__(self, fakes: Fakes, portal: BlockingPortal) -> None:
        self._fakes = fakes
        self._portal = portal

    def url(self, provider: str) -> str:
        return self._fakes.url(provider) + ("/v1" if provider == "openai" else "")

    def key(self, provider: str) -> str:
        return self._fakes.key(provider)

    def script(self, provider: str, steps: Sequence[Step]) -> None:
        self._portal.call(self._fakes.script, provider, steps)

    def requests(self, provider: str) -> list[LogEntry]:
        return self._portal.call(self._fakes.log, provider)

    def reset(self) -> None:
        for provider in self._fakes.providers:
            self._portal.call(self._fakes.reset, provider)


@pytest.fixture(scope="package")
def opened() -> Iterator[Servers]:
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(
            open_fakes(("openai", "anthropic"), options=FakeOptions(latency=(0.0, 0.0)))
        ) as fakes,
    ):
        yield Servers(fakes, portal)


@pytest.fixture
def servers(opened: Servers) -> Servers:
    opened.reset()
    return opened
