"""The options of the applications: how much to make, and how badly the fakes behave."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from relight import Settings
from relight.actors.jobs import Store, store_from_url
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
    store: str | None = None
    """Where the jobs are kept: a file, or a URL. None: in memory, so they end with the process."""
    lease: float = 2.0
    """Seconds after which a new process goes on with what a killed one had in hand; 15 by default."""
    painter: str = "runpod"
    """Who paints the comic's panels: ``runpod`` or ``openai``."""

    @property
    def name(self) -> str:
        """What the work is called."""
        return f"{self.text.stem}-{self.count}"

    def find_store(self) -> Store:
        """Return where the jobs are kept."""
        return store_from_url(self.store or "memory:")

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
    has_store: bool = True,
    arguments: Sequence[str] | None = None,
) -> Options:
    """Read the command line of an application."""
    parser = argparse.ArgumentParser(prog=f"python -m examples.{application}")
    parser.add_argument(
        f"--{what}", dest="count", type=_count, default=count, help=f"how many {what} to make"
    )
    parser.add_argument("--rate", type=_share, default=0.15, help="share of requests that fail, 0 to 1")
    parser.add_argument("--seed", type=int, default=44, help="the same seed, the same faults")
    parser.add_argument("--text", type=Path, default=TEXT, help="what the work is made of")
    if has_store:
        kept = (
            "keep the jobs in this SQLite file or PostgreSQL database: the same command goes on where it was"
        )
        parser.add_argument("--store", metavar="FILE|URL", default=None, help=f"{kept} (default: memory)")
    if painters:
        parser.add_argument("--painter", choices=painters, default=painters[0], help="who paints")
    return msgspec.convert(vars(parser.parse_args(arguments)), Options)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 on, got {text!r}")
    return int(text)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0.0 <= share <= 1.0:
        raise argparse.ArgumentTypeError(f"must be a number 0 to 1, got {text!r}")
    return share


def read_settings(beside: str) -> Settings:
    """Read ``relight.toml`` beside a module, and the environment over it."""
    return Settings.load(file=Path(beside).with_name("relight.toml"), environ=os.environ).settings
