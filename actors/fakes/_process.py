"""The child process as its parent sees it: started, ready, stopped."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from subprocess import PIPE
from typing import cast

import anyio
import msgspec
from anyio.abc import ByteReceiveStream, ByteSendStream, Process
from anyio.streams.buffered import BufferedByteReceiveStream

from ...runtime import RelightError
from ._addresses import Address
from ._options import FakeSpec

_START_SECONDS = 30.0
_STOP_SECONDS = 2.0
_LONGEST_LINE = 65_536


class FakeStartError(RelightError):
    """The process of the fakes ended, or said nothing, before they were ready."""


class FakeProcess:
    """One child process that serves fakes."""

    def __init__(self, specs: Sequence[FakeSpec]) -> None:
        self._specs = specs
        self._process: Process | None = None

    async def start(self) -> None:
        """Start the process; it is not ready yet. From here on, ``stop`` has something to do."""
        spec = msgspec.json.encode(self._specs).decode()
        command = [sys.executable, "-m", "relight.actors.fakes", "--until-eof", "--spec", spec]
        # Shielded: a process whose start was cancelled half-way would belong to nobody.
        with anyio.CancelScope(shield=True):
            # Errors of the child belong on the terminal of whoever started it.
            self._process = await anyio.open_process(
                command, stdin=PIPE, stdout=PIPE, stderr=None, start_new_session=True
            )  # Ctrl-C on a terminal is ours to answer: the child ends with its input

    async def wait_ready(self) -> Mapping[str, Address]:
        """Wait until the fakes are served, and return where.

        Raises:
            FakeStartError: They are not going to be.
        """
        output = BufferedByteReceiveStream(cast("ByteReceiveStream", self._started.stdout))
        try:
            with anyio.fail_after(_START_SECONDS):
                line = await output.receive_until(b"\n", _LONGEST_LINE)
        except (TimeoutError, anyio.EndOfStream, anyio.IncompleteRead) as error:
            raise FakeStartError(
                "the process of the fakes did not get ready; see its errors above"
            ) from error
        return msgspec.json.decode(line, type=dict[str, Address])

    async def kill(self) -> None:
        """End the process at once, as a crash would."""
        if self._started.returncode is None:
            self._started.kill()
        await self._started.wait()

    async def stop(self) -> None:
        """End the process and give back its pipes; a cancelled caller waits for that, too."""
        if self._process is None:
            return
        with anyio.CancelScope(shield=True):
            await cast("ByteSendStream", self._process.stdin).aclose()
            with anyio.move_on_after(_STOP_SECONDS):
                await self._process.wait()
            await self.kill()
            await self._process.aclose()

    @property
    def _started(self) -> Process:
        if self._process is None:
            raise FakeStartError("the process of the fakes was not started")
        return self._process
