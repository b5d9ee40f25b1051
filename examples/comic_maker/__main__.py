"""Make a comic of a novel, offline: ``python -m examples.comic_maker --pages 3 --store comics.db``."""

import sys

from ..common.options import read_options
from ..common.running import main
from .studio import run

if __name__ == "__main__":
    chosen = read_options("comic_maker", "pages", 3, painters=("runpod", "openai"))
    sys.exit(main(run, chosen, "Sure! Here are your panels."))
