"""The reference pages list what the code says, and nothing else."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.core import Metric

from relight.actors.ops import SystemCollector
from relight.supervisors import open_system, run
from tests.support.tree import ROOT

EVENT = re.compile(r"(actor|message|breaker|provider|supervisor|system|events)\.[a-z_]+")


def rows(page: str) -> list[list[str]]:
    lines = (ROOT / "docs" / "reference" / page).read_text().splitlines()
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")
    ]
    return [[cell[0].strip("`"), *cell[1:]] for cell in cells]


def emitted(path: Path) -> Iterator[str]:
    """Names of the events a module emits: first arguments of calls that look like one."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = node.args[0].value
            if isinstance(name, str) and EVENT.fullmatch(name):
                yield name


def test_the_events_page_lists_every_event_once() -> None:
    sources = [*(ROOT / "runtime").glob("*.py"), *(ROOT / "supervisors").rglob("*.py")]
    names = {name for source in sources for name in emitted(source)}
    listed = [row[0] for row in rows("events.md")]
    assert len(names) > 10
    assert sorted(listed) == sorted(names)


def exported(metric: Metric) -> str:
    return f"{metric.name}_total" if metric.type == "counter" else metric.name


def test_the_metrics_page_lists_every_metric_with_its_type_and_labels() -> None:
    async def main() -> list[Metric]:
        async with open_system() as system:
            return list(SystemCollector(system).collect())

    metrics = run(main, handle_signals=False)
    offered = sorted((exported(m), m.type, ", ".join(getattr(m, "_labelnames", ()))) for m in metrics)
    listed = sorted((row[0], re.split(r"[:,]", row[1])[0], row[2]) for row in rows("metrics.md"))
    assert offered == listed
