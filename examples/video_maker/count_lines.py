"""Count the lines of the agents before and after: ``python -m examples.video_maker.count_lines``.

A line counts when it holds code: blank lines, comments and docstrings do not. Of these, the ones are
counted apart that say how to wait, to try again or to give up.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from pathlib import Path

HERE = Path(__file__).parent
AGENTS = ("script_writer", "image_generator", "voice")

_FAILURE = re.compile(
    r"sleep|delay|(?<!a)wait\b|attempt|retr[iy]|timeout|backoff|semaphore|concurrent", re.IGNORECASE
)
_SILENT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def code_lines(source: str) -> list[str]:
    """Return the lines of *source* that hold code."""
    docstrings = {
        line
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    spoken = {
        line
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type not in _SILENT
        for line in range(token.start[0], token.end[0] + 1)
    }
    lines = source.splitlines()
    return [lines[number - 1] for number in sorted(spoken - docstrings)]


def count(path: Path) -> tuple[int, int]:
    """Count the lines of code in a file, and those of them that are about failure."""
    lines = code_lines(path.read_text())
    return len(lines), sum(1 for line in lines if _FAILURE.search(line))


def table() -> str:
    """Compare the agents, as a table in Markdown."""
    rows = ["| agent | by hand | of these about failure | on relight | of these about failure |"]
    rows.append("|---|---|---|---|---|")
    sums = [0, 0, 0, 0]
    for agent in AGENTS:
        counts = [*count(HERE / "before" / f"{agent}.py"), *count(HERE / f"{agent}.py")]
        sums = [total + one for total, one in zip(sums, counts, strict=True)]
        rows.append(_row(agent.replace("_", " "), counts))
    rows.append(_row("together", sums))
    return "\n".join(rows)


def _row(name: str, counts: list[int]) -> str:
    return f"| {name} | {' | '.join(map(str, counts))} |"


if __name__ == "__main__":
    print(table())
