"""The options of the applications: how much to make, and how badly the fakes behave."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

import msgspec

from relight import Settings
from relight.fakes import FaultPlan, RetryAfterForm

TEXT = Path(__file__).with_name("novel.txt")


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is told."""

    count: int
    """Pages of the comic, scenes of the video."""
    rate: float = 0.15
    """Share of the requests that fail, 0 to 1."""
    seed: int = 44
    """The same seed, the same faults."""
    text: Path = TEXT
    """What the work is made of."""
    work: Path | None = None
    """Folder of the checkpoints: a run with the same folder goes on where the last one stopped."""
    painter: str = "runpod"
    """Who paints the comic's panels: ``runpod`` or ``openai``."""

    def folder(self) -> Path | None:
        """Say where the checkpoints are: in a folder of their own for each text and count."""
        if self.work is None:
            return None
        job = blake2b(self.text.read_bytes(), digest_size=6).hexdigest()
        return self.work / f"{job}-{self.count}"

    def faults(self) -> FaultPlan:
        """Plan the faults of every fake."""
        forms = (RetryAfterForm.FLOAT, RetryAfterForm.MILLISECONDS)
        return FaultPlan(rate=self.rate, seed=self.seed, retry_after_seconds=0.3, retry_after_forms=forms)


def read_options(
    application: str,
    what: str,
    count: int,
    *,
    painters: Sequence[str] = (),
    arguments: Sequence[str] | None = None,
) -> Options:
    """Read the command line of an application."""
    parser = argparse.ArgumentParser(prog=f"python -m examples.{application}")
    parser.add_argument(f"--{what}", dest="count", type=int, default=count, help=f"how many {what} to make")
    parser.add_argument("--rate", type=float, default=0.15, help="share of requests that fail, 0 to 1")
    parser.add_argument("--seed", type=int, default=44, help="the same seed, the same faults")
    parser.add_argument("--text", type=Path, default=TEXT, help="what the work is made of")
    parser.add_argument("--work", type=Path, default=None, help="folder of the checkpoints; default: memory")
    if painters:
        parser.add_argument("--painter", choices=painters, default=painters[0], help="who paints")
    return msgspec.convert(vars(parser.parse_args(arguments)), Options)


def read_settings(beside: str) -> Settings:
    """Read ``relight.toml`` beside a module, and the environment over it."""
    return Settings.load(file=Path(beside).with_name("relight.toml"), environ=os.environ).settings
