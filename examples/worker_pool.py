"""Three painters behind one ref: whoever has least to do gets the next picture."""

import anyio

import relight
from relight import Actor, ActorCrashedError, Child, Pool, PoolRef, Request, handles


class Paint(Request[str], frozen=True):
    text: str


class Painter(Actor):
    @handles
    async def paint(self, message: Paint) -> str:
        await anyio.sleep(0.05)
        if not message.text:
            raise ValueError("nothing to paint")
        return f"a picture of {message.text}"


async def paint(painters: PoolRef, text: str, pictures: list[str]) -> None:
    try:
        pictures.append(await painters.ask(Paint(text)))
    except ActorCrashedError as error:
        pictures.append(f"no picture: {error.__cause__}")


async def main() -> None:
    async with relight.open_system() as system:
        painters = await system.spawn(
            Pool("painters", member=Child("painter", Painter), size=3, route="least_loaded")
        )
        pictures: list[str] = []
        async with anyio.create_task_group() as group:
            for text in ("a whale", "a ship", "", "a storm", "a captain", "the sea"):
                group.start_soon(paint, painters, text, pictures)
        print("\n".join(sorted(pictures)))
        print("handled by each:", [member.statistics().handled for member in painters.members()])
        print("in all:", painters.statistics().handled, "and", painters.statistics().restarts, "restart")


relight.run(main)
