"""The reference pages list what the code says, and nothing else."""

import ast
import dis
import re
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from types import FunctionType

from prometheus_client.core import Metric

import relight
from relight import RelightError, actors
from relight.actors import fakes, jobs
from relight.actors.ops import JobCollector, JobFigures, SystemCollector
from relight.supervisors import open_system, run
from tests.support.tree import ROOT

PUBLIC = {*relight.__all__, *actors.__all__, *fakes.__all__, *jobs.__all__}
EVENT = re.compile(
    r"(actor|message|breaker|provider|fallback|retry|reply|supervisor|system|settings|events|loop|shutdown"
    r"|job|worker|store)\.[a-z_]+"
)


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
    rooms = (
        ROOT / "runtime",
        ROOT / "supervisors",
        ROOT / "actors",
        ROOT / "actors" / "jobs",
        ROOT / "actors" / "providers",
    )
    sources = [source for room in rooms for source in room.glob("*.py")]
    names = {name for source in sources for name in emitted(source)}
    listed = [row[0] for row in rows("events.md")]
    assert len(names) > 10
    assert sorted(listed) == sorted(names)


def exported(metric: Metric) -> str:
    return f"{metric.name}_total" if metric.type == "counter" else metric.name


def test_the_metrics_page_lists_every_metric_with_its_type_and_labels() -> None:
    async def main() -> list[Metric]:
        async with open_system() as system:
            return [*SystemCollector(system).collect(), *JobCollector(JobFigures(at=0.0)).collect()]

    metrics = run(main, handle_signals=False)
    offered = sorted((exported(m), m.type, ", ".join(getattr(m, "_labelnames", ()))) for m in metrics)
    listed = sorted((row[0], re.split(r"[:,]", row[1])[0], row[2]) for row in rows("metrics.md"))
    assert offered == listed


def errors_in(error: type[RelightError]) -> Iterator[type[RelightError]]:
    """Yield *error* and what is below it, as far as users can import it."""
    if error.__name__ in PUBLIC:
        yield error
    for below in error.__subclasses__():
        yield from errors_in(below)


def parent_of(error: type) -> str:
    return next((base.__name__ for base in error.__mro__[1:] if base.__name__ in PUBLIC), "")


def foreign_base_of(error: type) -> str:
    names = (base.__name__ for base in error.__bases__ if base.__module__ == "builtins")
    return next((name for name in names if name != "Exception"), "")


def drawn_tree(page: str) -> Iterator[tuple[str, str, str]]:
    """Yield each error of the page's drawing: its name, the one it stands under, what else it is."""
    above: list[str] = []
    drawing = (ROOT / "docs" / "reference" / page).read_text().split("```text\n")[1].split("```")[0]
    for line in drawing.splitlines():
        depth = (len(line) - len(line.lstrip())) // 4
        name = line.split()[0]
        above[depth:] = [name]
        also = re.search(r"\(also (\w+)\)", line)
        yield name, above[depth - 1] if depth else "", also[1] if also else ""


def test_the_errors_page_draws_the_tree_of_errors() -> None:
    tree = [(error.__name__, parent_of(error), foreign_base_of(error)) for error in errors_in(RelightError)]
    assert len(tree) > 20
    assert sorted(drawn_tree("errors.md")) == sorted(tree)


def facts_of(error: type) -> set[str]:
    """Attributes that a class's own ``__init__`` sets, or that of a private base of it."""
    own = takewhile(lambda base: base is error or base.__name__ not in PUBLIC, error.__mro__)
    inits = [vars(base).get("__init__") for base in own]
    steps = [step for init in inits if isinstance(init, FunctionType) for step in dis.get_instructions(init)]
    names = {str(step.argval) for step in steps if step.opname == "STORE_ATTR"}
    return {name for name in names if not name.startswith("_")}


def test_the_errors_page_lists_every_error_once_with_its_facts() -> None:
    about_a_child = {"supervisor", "child"}
    facts = {error.__name__: facts_of(error) for error in errors_in(RelightError)}
    listed = {row[0]: set(re.findall(r"\w+", row[1])) for row in rows("errors.md")}
    assert len(rows("errors.md")) == len(listed)
    assert sorted(listed) == sorted(facts)
    for name, names in facts.items():
        assert listed[name] | about_a_child == names | about_a_child, name
