"""The writer: what is made again, and what must not be."""

import anyio
import pytest

from relight.actors.jobs import StoreError
from relight.actors.jobs._writer import UndecidedError, Writer

pytestmark = pytest.mark.anyio


class Lost:
    """A connection that breaks in the middle of its first commit, and is there again right after."""

    def __init__(self, error: StoreError) -> None:
        self.made: list[int] = []
        self._error: StoreError | None = error
        self._is_lost = False

    def begin(self) -> None:
        self._is_lost = False

    def commit(self) -> bool:
        error, self._error = self._error, None
        if error is not None:
            self._is_lost = True
            raise error
        return False

    def rollback(self) -> bool:
        return self._is_lost

    def close(self) -> None:
        """Do nothing."""


async def make_three(connection: Lost) -> list[str]:
    """Ask for three operations at once; returns which errors came."""
    errors: list[str] = []

    async def make(number: int) -> None:
        try:
            await writer.do(lambda found: found.made.append(number))
        except StoreError as error:
            errors.append(type(error).__name__)

    writer = Writer("a store", lambda: connection)
    async with writer.running(), anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(make, number)
    return errors


async def test_what_a_lost_connection_did_not_commit_is_made_again() -> None:
    connection = Lost(StoreError("a store", "it broke", is_passing=True))
    assert await make_three(connection) == []
    assert connection.made.count(0) == 2


async def test_what_may_have_been_committed_is_not_made_again() -> None:
    """A claim would be made twice, and the jobs of the first be nobody's as long as the worker lives."""
    connection = Lost(UndecidedError("a store", "nobody knows", is_passing=True))
    errors = await make_three(connection)
    assert errors != []
    assert set(errors) == {"UndecidedError"}
    assert sorted(connection.made) == [0, 1, 2]
