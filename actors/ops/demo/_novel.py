"""The text the comics are drawn from: the story we ship, or any file the user names."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Final

from ....runtime import RelightError

MAX_NOVEL_BYTES: Final = 8 * 1024 * 1024
"""Larger than any novel in print; the demo reads its text into memory."""


class NovelError(RelightError):
    """The text can't be used. One line: the file, what is wrong with it, what to do."""

    def __init__(self, path: Path, problem: str, remedy: str) -> None:
        super().__init__(f"--novel {path}: {problem}; {remedy}")
        self.path = path
        """The file."""
        self.problem = problem
        """What is wrong with it."""
        self.remedy = remedy
        """What to do."""


def read_story() -> str:
    """Read the story that ships with relight."""
    return Path(__file__).with_name("story.txt").read_text(encoding="utf-8")


def read_novel(path: Path) -> str:
    """Read a text of the user's: UTF-8, with or without a byte order mark, any line ends.

    Raises:
        NovelError: There is no such text, or it is none that can be drawn.
    """
    text = _decoded(path, _bytes_of(path))
    if not any(character.isalnum() for character in text):
        raise NovelError(path, "is empty: it holds not one word", "give a file with some text in it")
    return text


def _bytes_of(path: Path) -> bytes:
    try:
        _check_kind(path)
        with path.open("rb") as file:
            # One byte more than allowed tells "too large" without reading all of it.
            data = file.read(MAX_NOVEL_BYTES + 1)
    except FileNotFoundError:
        raise NovelError(path, "no such file", "check the path, or leave --novel out") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path itself
        reason = getattr(error, "strerror", None) or str(error)
        raise NovelError(path, f"can't be read ({reason})", "give a text file you may read") from None
    if len(data) > MAX_NOVEL_BYTES:
        limit = MAX_NOVEL_BYTES // (1024 * 1024)
        raise NovelError(path, f"is larger than {limit} MB", "give one chapter or one book of it")
    return data


def _check_kind(path: Path) -> None:
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise NovelError(path, "is a directory", "name one text file in it")
    if not stat.S_ISREG(mode):  # a pipe might never end
        raise NovelError(path, "is not a regular file", "save the text to a file first")


def _decoded(path: Path, data: bytes) -> str:
    remedy = "give plain text, saved as UTF-8"
    if b"\0" in data:
        raise NovelError(path, "is binary, not text", remedy)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NovelError(path, f"is binary or not UTF-8 (byte {error.start})", remedy) from None
