"""The output folder: a run writes into a new one and touches nothing else."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec

from ....runtime import RelightError

METRICS_NAME = "metrics.txt"
"""In the folder of a run: the last scrape, in Prometheus' text format."""


class OutputError(RelightError):
    """The run could not write what it was asked to."""

    def __init__(self, option: str, path: Path, error: OSError) -> None:
        reason = error.strerror or type(error).__name__
        super().__init__(f"{option} {path}: can't write there ({reason}); name another place")
        self.option = option
        """The option that named the place."""
        self.path = path
        """The place."""


class Panel(msgspec.Struct, frozen=True):
    """One picture of a comic."""

    prompt: str
    """What the painter was told."""
    file: str
    """The picture, in the comic's folder."""


class Comic(msgspec.Struct, frozen=True):
    """A finished comic, as its ``comic.json`` shows it."""

    id: str
    angle: str
    scene: str
    outline: str
    panels: list[Panel]


class Shelf:
    """Where one run puts its comics: ``DIR/run-<date>-seed<seed>/comic-001/``.

    A run that is started again goes on in the folder it had.

    Blocking: call it from a thread.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        """The run's own, new folder."""

    @classmethod
    def make(cls, parent: Path, *, seed: int, now: datetime) -> Shelf:
        """Make a new folder for a run in *parent*.

        Raises:
            OutputError: It can't be made.
        """
        name = f"run-{now:%Y%m%d-%H%M%S}-seed{seed}"
        try:
            return cls(_new_folder(parent, name))
        except OSError as error:
            raise OutputError("--out", parent, error) from error

    def put(self, comic: Comic, images: dict[str, bytes]) -> None:
        """Store a comic and its pictures. ``comic.json`` comes last: where it is, the comic is whole."""
        folder = self.folder / comic.id
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in images.items():
            (folder / name).write_bytes(data)
        text = msgspec.json.format(msgspec.json.encode(comic), indent=2)
        (folder / "comic.json").write_bytes(text + b"\n")


def write_metrics(metrics: str, folder: Path) -> None:
    """Store the last scrape of a run."""
    (folder / METRICS_NAME).write_text(metrics, encoding="utf-8")


def check_writable(option: str, path: Path) -> None:
    """Find out before a run, not after it, that its report can't be written to *path*.

    Raises:
        OutputError: It can't. A file that is there stays as it is.
    """
    existed = path.exists()
    try:
        with path.open("ab"):
            pass
        if not existed:
            path.unlink()
    except OSError as error:
        raise OutputError(option, path, error) from error


def _new_folder(parent: Path, name: str) -> Path:
    parent.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:  # two runs may begin in the same second
        folder = parent / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        else:
            return folder
