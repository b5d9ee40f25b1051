"""Every statement has its tests: the list of their numbers against the names of the tests in this folder."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.supervisors.conformance.test_exit_decision import EXITS, OUTCOMES

COUNTS = {"V": 5, "T": 8, "X": 3, "B": 7, "G": 8, "S": 5, "A": 7, "U": 3, "D": 3, "E": 3, "N": 4, "Q": 10}
"""Specs, starts, exits, budgets, groups, stops, administration, auto shutdown, dynamic supervisors, losses,
what OTP has not, and what ``gen_server`` promises: a number for each of its sentences."""
STATEMENTS = [f"{letter}{number}" for letter, count in COUNTS.items() for number in range(1, count + 1)]

_NUMBERS = re.compile(r"test_((?:[a-z]\d+_)+)")


def names() -> Iterator[str]:
    """Find the names of all tests of this folder."""
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node.name


def numbers(name: str) -> list[str]:
    """Read the numbers that a test's name begins with."""
    found = _NUMBERS.match(name)
    return [] if found is None else found[1].rstrip("_").upper().split("_")


@pytest.mark.parametrize("statement", STATEMENTS)
def test_each_statement_has_a_test(statement: str) -> None:
    assert any(statement in numbers(name) for name in names())


def test_each_number_in_a_name_is_that_of_a_statement() -> None:
    used = {number for name in names() for number in numbers(name)}
    assert used <= set(STATEMENTS)


def test_the_exit_table_has_each_restart_type_and_each_way_to_end() -> None:
    assert set(OUTCOMES) == {"permanent", "transient", "temporary"}
    assert all(set(row) == set(EXITS) == {"normal", "shutdown", "crash", "kill"} for row in OUTCOMES.values())
    assert any(name.startswith("test_table_") for name in names())
