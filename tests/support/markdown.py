"""Find the fenced code blocks of a Markdown document, and what the document says about them."""

import re
from collections.abc import Iterator
from itertools import takewhile
from typing import NamedTuple

FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>```+|~~~+) *(?P<language>[\w+-]*)[^`]*$")
NOTE = re.compile(r"^ *<!-- *(?P<name>not run|continued|file|from)(?:: *(?P<value>.*?))? *-->$")
LEAD_IN = re.compile(r"^\S.*:$")
"""A line of prose such as ``It prints:``, which may stand between a program and its output."""


class Block(NamedTuple):
    """One fenced block."""

    language: str
    text: str
    line: int
    """The number of its first line within the document, counted from 1."""
    notes: dict[str, str]
    """The comments right before it: ``{"not run": "needs a key"}``."""
    follows: bool
    """At most a lead-in ending in a colon stands between it and the block before."""


def blocks_of(document: str) -> Iterator[Block]:
    """Yield the fenced blocks of *document* in order."""
    lines = document.splitlines()
    notes: dict[str, str] = {}
    follows = False
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        if opening := FENCE.match(line):
            first, number = number, _end(lines, number, opening["ticks"])
            text = "".join(f"{code.removeprefix(opening['indent'])}\n" for code in lines[first : number - 1])
            yield Block(opening["language"], text, first + 1, notes, follows)
            notes, follows = {}, True
        elif note := NOTE.match(line):
            notes[note["name"]] = note["value"] or ""
        elif line.strip():
            notes = {}
            follows = follows and bool(LEAD_IN.match(line)) and not lines[number - 2].strip()


def rows_of_table(document: str, heading: str) -> list[list[str]]:
    """Return the rows of the table of *document* whose first column is called *heading*, cell by cell."""
    lines = iter(document.splitlines())
    next(line for line in lines if _cells(line)[:1] == [heading])
    next(lines)  # the rule below the headings
    return [_cells(line) for line in takewhile(lambda line: line.startswith("|"), lines)]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _end(lines: list[str], number: int, ticks: str) -> int:
    """Return how many lines there are up to the fence that closes the block, the fence included."""
    while number < len(lines) and lines[number].strip() != ticks:
        number += 1
    if number == len(lines):
        raise ValueError("a code block is not closed")
    return number + 1
