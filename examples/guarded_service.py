"""A service that fails now and then: its policy retries, then leaves it alone."""

import relight
from relight import (
    Breaker,
    Child,
    CircuitBreakerOpenError,
    FailureKind,
    Fixed,
    GuardedActor,
    Policy,
    ProviderError,
    Request,
    RetriesExhaustedError,
    Retry,
    current_attempt,
    handles,
)


class Paint(Request[str], frozen=True):
    text: str
    failures: int = 0


class PictureService(GuardedActor):
    """Stands for an HTTP API: each picture fails as often as it was told to."""

    @handles
    async def paint(self, message: Paint) -> str:
        attempt = current_attempt().number
        if attempt <= message.failures:
            raise ProviderError("pictures", FailureKind.SERVER, "it smokes", status=500)
        return f"{message.text}, at attempt {attempt}"


async def main() -> None:
    policy = Policy(
        retry=Retry(attempts=3, backoff=Fixed(0.01)), breaker=Breaker(failures=3, open_seconds=30.0)
    )
    async with relight.open_system() as system:
        pictures = await system.spawn(Child("pictures", PictureService, policy=policy))
        print(await pictures.ask(Paint("a whale")))
        print(await pictures.ask(Paint("a ship", failures=2)))
        for text in ("a storm", "a captain"):
            try:
                await pictures.ask(Paint(text, failures=99))
            except RetriesExhaustedError as error:
                print(error)
            except CircuitBreakerOpenError as error:
                print(error)
        print(system.health())


relight.run(main)
