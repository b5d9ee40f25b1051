"""A tree of three levels: what its parts need from each other is the order and the strategy."""

from contextlib import suppress
from functools import partial

import relight
from relight import (
    Actor,
    ActorCrashedError,
    Child,
    DynamicSupervisor,
    Exponential,
    Pool,
    Request,
    Supervisor,
    System,
    handles,
)


class Load(Request[str], frozen=True):
    page: int


class Database(Actor):
    @handles
    async def load(self, message: Load) -> str:
        if message.page < 1:
            raise ValueError("there is no such page")
        return f"page {message.page}"


class Reader(Actor):
    """Uses the database, so it stands after it."""

    def __init__(self, system: System) -> None:
        self.database = system.get("studio/store/database")

    @handles
    async def load(self, message: Load) -> str:
        return await self.database.ask(message)


class Painter(Actor):
    pass


def studio(system: System) -> Supervisor:
    database = Child("database", Database, backoff=Exponential(0.01, cap=5.0))
    store = Supervisor(
        "store", strategy="rest_for_one", children=[database, Child("reader", partial(Reader, system))]
    )
    painters = Pool("painters", member=Child("painter", Painter), size=2)
    visitors = DynamicSupervisor("visitors", template=Child("visitor", Painter), restart="transient")
    return Supervisor("studio", children=[store, painters, visitors])


async def main() -> None:
    async with relight.open_system() as system:
        await system.spawn(studio(system))
        reader = system.get("studio/store/reader")
        print(await reader.ask(Load(1)))
        with suppress(ActorCrashedError):
            await reader.ask(Load(0))
        print(await reader.ask(Load(2)))
        print(system.tree())
        print(system.health())


relight.run(main)
