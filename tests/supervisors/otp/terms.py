"""Erlang terms as Python values: atoms are strings, tuples are tuples, lists are lists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeAlias

Term: TypeAlias = "str | int | list[Term] | tuple[Term, ...]"

_PLAIN = re.compile(r"[a-z][A-Za-z0-9_@]*")
_RESERVED = frozenset(
    {"after", "and", "begin", "case", "catch", "end", "fun", "if", "not", "of", "or", "when"}
)
"""Words an atom must be quoted for; the names of scenarios hold no others."""
_CUT_OFF = ("mark", "the end of the text")
_TOKEN = re.compile(r"\s*(?:(-?\d+)|([a-z][A-Za-z0-9_@]*)|'((?:[^'\\]|\\.)*)'|([][{},.]))")


def write(term: Term) -> str:
    """Write a term as Erlang reads it."""
    if isinstance(term, int):
        return str(int(term))
    if isinstance(term, str):
        return term if _PLAIN.fullmatch(term) and term not in _RESERVED else f"'{term}'"
    inner = ",".join(write(part) for part in term)
    return f"[{inner}]" if isinstance(term, list) else f"{{{inner}}}"


def read(text: str) -> Term:
    """Read one term; what follows it but a full stop is an error."""
    terms = list(read_all(text))
    if len(terms) != 1:
        raise ValueError(f"expected one term, got {len(terms)} in {text!r}")
    return terms[0]


def read_all(text: str) -> Iterator[Term]:
    """Read terms that follow one another, with or without full stops."""
    tokens = _tokens(text)
    while (token := next(tokens, None)) is not None:
        if token != ("mark", "."):
            yield _term(token, tokens)


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    text, place = text.rstrip(), 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            raise ValueError(f"no Erlang term at {text[place : place + 40]!r}")
        place = found.end()
        number, atom, quoted, mark = found.groups()
        if number is not None:
            yield "number", number
        elif mark is not None:
            yield "mark", mark
        else:
            yield "atom", atom if atom is not None else quoted


def _term(token: tuple[str, str], tokens: Iterator[tuple[str, str]]) -> Term:
    kind, text = token
    if kind == "number":
        return int(text)
    if kind == "atom":
        return text
    if text == "[":
        return list(_parts("]", tokens))
    if text == "{":
        return tuple(_parts("}", tokens))
    raise ValueError(f"unexpected {text!r}")


def _parts(end: str, tokens: Iterator[tuple[str, str]]) -> Iterator[Term]:
    token = next(tokens, _CUT_OFF)
    while token != ("mark", end):
        yield _term(token, tokens)
        token = next(tokens, _CUT_OFF)
        if token == ("mark", ","):
            token = next(tokens, _CUT_OFF)
