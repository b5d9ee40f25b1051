"""OTP's side: one Erlang VM that runs scenarios, batch after batch."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.supervisors.otp.scenarios import Scenario
from tests.supervisors.otp.terms import write

RUNNER = Path(__file__).with_name("otp_runner.erl")
HOW_TO_GET = "install it with `apt-get install erlang-base`"


def is_installed() -> bool:
    """Tell whether Erlang can be run here."""
    return shutil.which("erl") is not None and shutil.which("erlc") is not None


class Vm:
    """A running Erlang. A context manager; its files go with it."""

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="relight-otp-")
        folder = self._folder.name
        subprocess.run(["erlc", "-o", folder, str(RUNNER)], check=True)
        self._process = subprocess.Popen(
            ["erl", "-noshell", "-pa", folder, "+S", "1:1", "-s", "otp_runner", "main", "-s", "init", "stop"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._folder.cleanup()

    def run(self, scenarios: Sequence[Scenario]) -> list[str]:
        """Run scenarios and return their traces, each as the text of a term."""
        folder = Path(self._folder.name)
        source, target = folder / "scenarios", folder / "traces"
        source.write_text("".join(f"{write(scenario.term())}.\n" for scenario in scenarios))
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{source}\t{target}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if answer != "done\n":
            raise RuntimeError(f"the Erlang VM gave up: {answer!r}")
        return [line.removesuffix(".") for line in target.read_text().splitlines()]
