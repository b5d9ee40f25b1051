"""An actor that crashes on bad input, and goes on: nobody else notices."""

import relight
from relight import Actor, ActorCrashedError, Child, Request, handles


class Divide(Request[float], frozen=True):
    amount: float
    by: float


class Calculator(Actor):
    @handles
    async def divide(self, message: Divide) -> float:
        return message.amount / message.by


async def main() -> None:
    async with relight.open_system() as system:
        calculator = await system.spawn(Child("calculator", Calculator))
        print(await calculator.ask(Divide(84, 2), timeout=1.0))
        try:
            await calculator.ask(Divide(1, 0))
        except ActorCrashedError as error:
            print(error, "<-", repr(error.__cause__))
        print(await calculator.ask(Divide(21, 0.5)), "after", calculator.statistics().restarts, "restart")


relight.run(main)
