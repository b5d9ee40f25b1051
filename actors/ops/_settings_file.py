"""Which settings file a command reads."""

import argparse
from pathlib import Path
from typing import cast

DEFAULT_FILE = Path("relight.toml")
"""Read where no file is named, if it is there."""


def settings_file(args: argparse.Namespace) -> Path | None:
    """Return the file the user named, else the one of custom; None where there is none."""
    return cast("Path | None", args.file) or (DEFAULT_FILE if DEFAULT_FILE.exists() else None)
