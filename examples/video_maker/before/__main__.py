"""Run the three hand-written agents on the fakes: ``python -m examples.video_maker.before --scenes 5``."""

from __future__ import annotations

import asyncio
import logging
import sys

from relight.fakes import open_fakes

from ...common.options import Options, read_options
from .image_generator import ImageError, ImageGenerator
from .script_writer import ScriptError, ScriptWriter
from .voice import Narrator, VoiceError

INITIAL_DELAY = 0.1
"""As in ``relight.toml``, so that a run takes seconds."""


async def main(options: Options) -> int:
    async with open_fakes(["openai", "elevenlabs"], plan=options.faults()) as fakes:
        openai, key = f"{fakes.url('openai')}/v1", fakes.key("openai")
        writer = ScriptWriter(openai, key, initial_delay=INITIAL_DELAY)
        painter = ImageGenerator(openai, key, initial_delay=INITIAL_DELAY)
        narrator = Narrator(fakes.url("elevenlabs"), fakes.key("elevenlabs"), initial_delay=INITIAL_DELAY)
        try:
            scenes = await writer.write(options.text.read_text(), options.count)
            pictures = await painter.draw_all(scenes)
            sounds = await narrator.speak_all(scenes)
        except (ScriptError, ImageError, VoiceError) as error:
            print(f"LOST  {error}")
            return 1
        finally:
            for agent in (writer, painter, narrator):
                await agent.close()
        print(f"made  {len(pictures)} pictures and {len(sounds)} sounds")
        return 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="      %(name)s: %(message)s", stream=sys.stdout)
    sys.exit(asyncio.run(main(read_options("video_maker.before", "scenes", 5, has_store=False))))
