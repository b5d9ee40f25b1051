"""Two services at work, offline: rows in a database, speech while it is made. Both fail at first."""

from functools import partial

import msgspec

import relight
from relight import Child
from relight.actors.providers import ElevenLabs, Filter, SelectRows, StreamSpeech, Supabase, UpsertRows
from relight.fakes import FaultKind, Step, open_fakes


class Line(msgspec.Struct):
    id: str
    scene: int
    text: str


SCRIPT = (
    Line("a1", 1, "The lamp went out."),
    Line("a2", 1, "Nobody spoke."),
    Line("b1", 2, "Then it burned again."),
)
FIRST_SCENE = SelectRows(table="lines", where=(Filter("scene", "eq", 1),), order="id")


async def main() -> None:
    async with open_fakes(["supabase", "elevenlabs"]) as fakes, relight.open_system() as system:
        # A row is stored, and its answer lost; the first speech is refused.
        await fakes.script("supabase", [Step(fault=FaultKind.TRUNCATED)])
        await fakes.script("elevenlabs", [Step(fault=FaultKind.SLOW_DOWN)])
        supabase = partial(Supabase, fakes.url("supabase"), fakes.key("supabase"))
        elevenlabs = partial(ElevenLabs, fakes.key("elevenlabs"), base_url=fakes.url("elevenlabs"))
        database = await system.spawn(Child("supabase", supabase))
        narrator = await system.spawn(Child("elevenlabs", elevenlabs))

        await database.ask(UpsertRows(table="lines", rows=SCRIPT))
        for line in (await database.ask(FIRST_SCENE)).to(Line):
            heard, cost = 0, 0.0
            async with narrator.stream(StreamSpeech(text=line.text, voice="narrator")) as speech:
                async for chunk in speech:
                    heard += len(chunk.audio)
                    cost += (chunk.usage.usd or 0.0) if chunk.usage else 0.0
            print(f"{line.text} {heard} bytes, {cost:.5f} dollars")


relight.run(main)
