"""The event loops that are measured on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

BACKENDS = ("trio", "asyncio", "uvloop")
"""uvloop is asyncio on another loop, where it is installed."""


def run_on(backend: str, main: Callable[[], Awaitable[None]]) -> None:
    """Run *main* on one of `BACKENDS`."""
    if backend == "trio":
        anyio.run(main, backend="trio")
    else:
        anyio.run(main, backend="asyncio", backend_options={"use_uvloop": backend == "uvloop"})
