"""A BEAM to ask: one Erlang virtual machine that answers questions line by line.

It has one scheduler, as we have one thread, and stays on the core this process is on: they take turns.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from .harness import Round

_SOURCE = Path(__file__).with_name("beam.erl")
_OPTIONS = ("-noshell", "+S", "1:1", "+sbwt", "none", "+P", "2000000", "-kernel", "logger_level", "none")
"""No report of a crash is written, as none is in our own questions."""
_PROGRAM = (
    '{{ok, Module, Code}} = compile:file("{source}", [binary]), '
    '{{module, Module}} = code:load_binary(Module, "{source}", Code), Module:main().'
)


class Beam:
    """A running virtual machine."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.release = self._line()
        """Which OTP it runs: ``25``."""

    def ask(self, question: str, number: int) -> float:
        """Have it do one round of work; seconds, or bytes, for one piece.

        Raises:
            RuntimeError: It went down.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(f"{question} {number}\n")
        self._process.stdin.flush()
        line = self._line()
        try:
            return float(line)
        except ValueError as error:
            raise RuntimeError(f"bench: the BEAM went down: {line}") from error

    def round_of(self, question: str, number: int) -> Round:
        """Make a round of a question."""

        async def ask() -> float:
            return self.ask(question, number)  # nothing else is to happen on this core meanwhile

        return ask

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@contextmanager
def open_beam() -> Generator[Beam | None]:
    """Start a virtual machine and stop it at the end; None where Erlang is not installed."""
    erl = shutil.which("erl")
    if erl is None or shutil.which("erlc") is None:
        yield None
        return
    source = str(_SOURCE).replace("\\", "\\\\").replace('"', '\\"')
    command = [erl, *_OPTIONS, "-eval", _PROGRAM.format(source=source)]
    environment = {**os.environ, "ERL_CRASH_DUMP_SECONDS": "0"}  # no dump of its memory when it goes down
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as process:
        try:
            yield Beam(process)
        except BaseException:
            process.kill()
            raise
