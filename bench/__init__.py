"""How fast relight is, against what the event loop itself costs in the same process.

    python -m relight bench                         every question, on every backend there is
    python -m relight bench ask fan --backend trio  two questions, on one
    python -m relight bench --quick --json new.json
    python -m relight.bench.compare base.json new.json

One module a question. Each prints its value, its floor, which is what the same work costs without
actors, and the ratio of the two, measured in turns in one process: machines differ and get busy, the
ratio stays.
"""

from ..runtime import claim
from ._command import add_bench_parser, run_bench

__all__ = ["add_bench_parser", "run_bench"]

claim(globals())
