"""Run fakes in this process: ``python -m relight.actors.fakes --provider openai --rate 0.2 --seed 7``."""

import sys

from ._command import run_fakes

if __name__ == "__main__":
    sys.exit(run_fakes(sys.argv[1:]))
