"""Make a video of a story, offline: ``python -m examples.video_maker --scenes 5 --store videos.db``."""

import sys

from ..common.options import read_options
from ..common.running import main
from .production import run

if __name__ == "__main__":
    chosen = read_options("video_maker", "scenes", 5)
    sys.exit(main(run, chosen, "Sure! Here are your scenes."))
