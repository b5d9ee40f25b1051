"""Write the tables of bench/README.md and docs/performance.md anew, from the saved runs in docs/.

    python tools/bench_tables.py [--check]

A table stands between ``<!-- table: NAME -->`` and ``<!-- end -->``. With ``--check`` nothing is written;
ends with status 1 when a table is not what the saved runs say.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from relight.bench._markdown import beam_table, scale_table
from relight.bench.compare import read, table
from relight.bench.harness import Figure

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "bench/README.md", ROOT / "docs/performance.md")
TITLES = {
    "tell": "tell",
    "ask": "sequential ask",
    "ask_timeout": "ask with a timeout",
    "ask_timeouts_20000": "ask, 20,000 distinct timeouts",
    "fan": "1000 askers on 100 actors, a call",
    "ping_pong": "ping-pong between two actors, a hop",
    "spawn": "spawn + stop",
    "spawn_with_hooks": "spawn + stop, with a start and a stop hook",
    "idle_actor": "an idle actor",
    "restart": "crash to next message handled, report apart",
    "crash_report": "the crash report itself",
    "guarded": "a guarded service call, every policy on",
    "guarded_default": "with the default policy / every policy off",
    "guarded_policies": "every policy on / every policy off",
    "guarded_tenacity": "a guarded call, every policy on / tenacity's decorator",
    "guarded_stamina": "the same / stamina's decorator",
    "guarded_tenacity_purgatory": "the same / tenacity and purgatory",
    "guarded_stamina_stack": "the same / stamina, circuitbreaker, a timeout and a semaphore",
    "guarded_hyx_stack": "the same / hyx: four policies",
    "guarded_pyresilience_stack": "the same / pyresilience: six patterns",
    "guarded_aioresilience_stack": "the same / aioresilience: four patterns",
    "services": "10,000 calls at once, 50 services, one in five failing: processor time a call / by hand",
    "services_asker_p99": "... the slowest of 100 askers / the middle one",
    "services_bytes": "... peak of traced memory a call / by hand",
    "neighbour": "p99 of B while A hangs, is flooded and crashes / B alone",
}
JOBS = {
    "enqueue_alone": "enqueue, one after another",
    "enqueue": "enqueue, 32 at a time",
    "step_alone": "save a step, one after another",
    "step": "save a step, 32 at a time",
    "drain": "take and end a job, 32 at a time",
    "worker": "a whole worker: enqueued, taken, run and ended, 32 at a time",
    "start_p50": "from enqueue to start, median",
    "start_p99": "from enqueue to start, p99",
    "claim": "claim 32 beside a million ended jobs / before there were any",
}
STORES = {"sqlite": "SQLite", "postgres": "PostgreSQL"}
SCALE = ("restart_storm", "storm_", "children_", "dynamic_", "depth_", "backlog_", "million_")


def main() -> int:
    """Write or check the tables."""
    before = read(ROOT / "docs/performance-before.json")
    now = read(ROOT / "docs/performance.json")
    jobs = {
        f"jobs_{store}_{what}": f"{name}: {title}"
        for store, name in STORES.items()
        for what, title in JOBS.items()
    }
    tables = {
        "path": _titled(now, TITLES),
        "jobs": _titled(now, jobs),
        "scale": scale_table(now, SCALE),
        "beam": beam_table(now),
        "against": table(before, now),
    }
    stale = 0
    for page in PAGES:
        old = page.read_text()
        new = old
        for name, lines in tables.items():
            place = re.compile(rf"(<!-- table: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
            text = "\n".join(lines)
            new = place.sub(lambda found, text=text: f"{found[1]}\n{text}\n\n{found[2]}", new)
        stale += new != old
        if "--check" not in sys.argv[1:]:
            page.write_text(new)
    return int("--check" in sys.argv[1:] and stale > 0)


def _titled(figures: Sequence[Figure], titles: Mapping[str, str]) -> list[str]:
    named = [msgspec.structs.replace(each, name=titles[each.name]) for each in figures if each.name in titles]
    return scale_table(named, tuple(titles.values()))


if __name__ == "__main__":
    raise SystemExit(main())
