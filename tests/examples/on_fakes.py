"""An application as a process of its own, on fakes that outlive it."""

import sys
from typing import cast

import msgspec

import relight
from examples.comic_maker import studio
from examples.common.options import Options
from examples.common.report import Outcome
from examples.video_maker import production
from relight.fakes import Fakes

RUNS = {"comic_maker": studio.run, "video_maker": production.run}


class Elsewhere(msgspec.Struct):
    """Where the fakes of another process are."""

    urls: dict[str, str]
    keys: dict[str, str]

    def url(self, provider: str) -> str:
        return self.urls[provider]

    def key(self, provider: str) -> str:
        return self.keys[provider]


def main(name: str, count: str, store: str, fakes: str) -> int:
    elsewhere = cast("Fakes", msgspec.json.decode(fakes, type=Elsewhere))
    options = Options(count=int(count), store=store, lease=1.0)

    async def run() -> Outcome:
        return await RUNS[name](elsewhere, options, lambda line: print(line, flush=True))

    outcome = relight.run(run)
    print(*outcome.lost, sep="\n")
    return outcome.status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
