"""Run a program of actors from ordinary code, and end it in order on a signal."""

from __future__ import annotations

import signal
import threading
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from typing import TypeVar

import anyio

from ..runtime import StopAsked, primary_error
from ._process import note_signals, stop_asked

ResultT = TypeVar("ResultT")


def run(
    main: Callable[[], Awaitable[ResultT]],
    *,
    backend: str = "trio",
    handle_signals: bool = True,
) -> ResultT:
    """Run an asynchronous program that opens systems; blocks until it ends.

    SIGINT and SIGTERM cancel *main*: its systems stop in order, then the process ends with the
    status 128 + signal, without a traceback. A second signal ends it at once.

    In the main thread the process is taken to be this program's. A system that has not ended some
    seconds after its shutdown timeout, because a handler computes for ever or swallows its
    cancellation, ends it with the status 70; ``open_system(forced_exit=False)`` waits instead.

    Args:
        main: An async function without arguments.
        backend: ``trio``, or ``asyncio``, which uses uvloop where it is installed.
        handle_signals: False leaves signals alone, as does a thread that is not the main one.
    """
    if backend not in ("trio", "asyncio"):
        raise ValueError(f"backend must be 'trio' or 'asyncio', got {backend!r}")
    options = {"use_uvloop": find_spec("uvloop") is not None} if backend == "asyncio" else {}
    if threading.current_thread() is not threading.main_thread():
        return anyio.run(main, backend=backend, backend_options=options)
    owned = stop_asked.set(StopAsked())
    try:
        if not handle_signals:
            return anyio.run(main, backend=backend, backend_options=options)
        result, caught = anyio.run(_run_until_signal, main, backend=backend, backend_options=options)
    finally:
        stop_asked.reset(owned)
    if caught is not None:
        raise SystemExit(128 + caught)
    return result[0]


async def _run_until_signal(main: Callable[[], Awaitable[ResultT]]) -> tuple[list[ResultT], int | None]:
    result: list[ResultT] = []
    caught: list[int] = []
    error: BaseException | None = None
    asked = stop_asked.get()
    assert asked is not None

    async def watch(scope: anyio.CancelScope) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            note_signals(asked, signal.SIGINT, signal.SIGTERM)
            async for number in signals:
                caught.append(number)
                scope.cancel()
                break
        # Leaving the receiver restores the default handlers: a second signal ends the process.

    async with anyio.create_task_group() as group:
        group.start_soon(watch, group.cancel_scope)
        try:
            result.append(await main())
        except Exception as raised:  # noqa: BLE001 - carried out of the group, which would wrap it
            error = raised
        group.cancel_scope.cancel()
    if error is not None:
        raise primary_error(error) if not isinstance(error, ExceptionGroup) else error
    return result, caught[0] if caught else None
