"""Find out what a Python file imports, and when."""

import ast
from collections.abc import Iterator
from typing import NamedTuple, cast


class Import(NamedTuple):
    """One imported name."""

    module: str
    """The module named in the statement, absolute: ``relight.runtime``."""
    name: str | None
    """What is taken from it by ``from module import name``."""
    line: int
    is_eager: bool
    """Runs when the file is imported: neither in a function nor for type checkers only."""

    @property
    def target(self) -> str:
        """The longest dotted name that may be a module: ``relight.runtime.Ref`` as well."""
        return f"{self.module}.{self.name}" if self.name else self.module


def imports_of(source: str, module: str, *, is_package: bool) -> Iterator[Import]:
    """Yield the imports in the *source* of *module*, relative ones resolved."""
    package = module if is_package else module.rpartition(".")[0]
    for statement, is_eager in _statements(ast.parse(source), is_eager=True):
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                yield Import(alias.name, None, statement.lineno, is_eager)
        elif isinstance(statement, ast.ImportFrom):
            origin = _resolved(statement, package)
            for alias in statement.names:
                yield Import(origin, alias.name, statement.lineno, is_eager)


def _statements(block: ast.AST, *, is_eager: bool) -> Iterator[tuple[ast.stmt, bool]]:
    """Yield the statements within *block*, those of its own blocks too. Expressions hold none."""
    for name, held in ast.iter_fields(block):
        if not isinstance(held, list):
            continue
        is_skipped = (
            name == "body" and isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        )
        for child in cast("list[object]", held):
            if isinstance(child, ast.stmt):
                yield child, is_eager and not is_skipped
            if isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
                is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
                yield from _statements(child, is_eager=is_eager and not is_skipped and not is_function)


def _resolved(statement: ast.ImportFrom, package: str) -> str:
    if not statement.level:
        return statement.module or ""
    parts = package.split(".")
    parts = parts[: len(parts) - statement.level + 1]
    return ".".join([*parts, *filter(None, [statement.module])])
