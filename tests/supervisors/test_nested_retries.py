"""Retries in retries: who is warned, once, and of what. Nothing of the libraries meant is needed for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
import tenacity

from relight.runtime import Request, handles
from relight.supervisors import (
    Child,
    GuardedActor,
    System,
    enclosing_retry_layer,
    how_it_retries,
    open_system,
    retry_layer,
)
from relight.testing import CapturedEvents, FlakyService, capture_events
from tests.support.clocks import virtual_time


class Ask(Request[str], frozen=True):
    pass


class SdkClient:
    """As those of openai and anthropic look."""

    def __init__(self, max_retries: object = 2) -> None:
        self.max_retries = max_retries
        self.chat = SimpleNamespace(completions=Completions(self))

    def with_options(self) -> SdkClient:
        raise NotImplementedError


class Completions:
    def __init__(self, client: SdkClient) -> None:
        self._client = client

    async def create(self) -> str:
        raise NotImplementedError


class ChatModel:
    """As LangChain's look."""

    max_retries: int | None = 6

    def invoke(self, text: str) -> str:
        raise NotImplementedError


class PlainModel(ChatModel):
    """As LangChain's look where nobody said anything about retries: the client inside has its default."""

    max_retries = None

    def __init__(self) -> None:
        self.async_client = SdkClient().chat.completions


class WithRetry(ChatModel):
    """As what LangChain's ``with_retry`` returns."""

    max_retries = None
    max_attempt_number = 3


class Options(SimpleNamespace):
    """An application's own settings, which can't call anything."""


class Moody:
    @property
    def max_retries(self) -> int:
        raise RuntimeError("not now")


@tenacity.retry(stop=tenacity.stop_after_attempt(2))
def wrapped() -> None:
    raise NotImplementedError


@pytest.mark.parametrize(
    ("thing", "says"),
    [
        (SdkClient(), "SdkClient retries on its own; give it max_retries=0, it has 2"),
        (SdkClient().chat.completions, "SdkClient retries on its own; give it max_retries=0, it has 2"),
        (SdkClient(3).chat.completions.create, "give it max_retries=0, it has 3"),
        (ChatModel(), "ChatModel retries on its own; give it max_retries=0, it has 6"),
        (ChatModel().invoke, "ChatModel retries on its own"),
        (PlainModel(), "SdkClient retries on its own; give it max_retries=0, it has 2"),
        (PlainModel().invoke, "SdkClient retries on its own; give it max_retries=0, it has 2"),
        (WithRetry(), "WithRetry retries on its own; give it max_attempt_number=1, it has 3"),
        (partial(partial(ChatModel().invoke), "hi"), "ChatModel retries on its own"),
        (wrapped, "it is wrapped by tenacity; leave out that decorator"),
    ],
)
def test_what_retries_on_its_own_is_told_by_its_looks(thing: object, says: str) -> None:
    assert says in how_it_retries(thing)


@pytest.mark.parametrize(
    "thing",
    [
        SdkClient(0),
        SdkClient(None),
        SdkClient(max_retries=True),
        SdkClient(0).chat.completions.create,
        Options(max_retries=3),
        Moody(),
        MagicMock(),
        SimpleNamespace(retry=SimpleNamespace(stop=1, wait=1)),
        print,
        "max_retries",
        3,
        None,
    ],
)
def test_what_does_not_is_left_alone(thing: object) -> None:
    assert how_it_retries(thing) == ""


class Service(GuardedActor):
    """Has everything an author may forget."""

    model = ChatModel()

    def __init__(self) -> None:
        self.client = SdkClient()
        self.quiet = SdkClient(0)

    @handles
    async def answer(self, message: Ask) -> str:
        return enclosing_retry_layer()

    helper = wrapped


async def serve(system: System, start: Callable[[], GuardedActor]) -> CapturedEvents:
    with capture_events(system) as events:
        await system.spawn(Child("llm", start))
    return events


@pytest.mark.anyio
async def test_a_service_that_holds_a_retrying_client_is_warned_of_when_it_starts() -> None:
    async with open_system() as system:
        events = await serve(system, Service)
        warnings = {str(event.fields["inner"]) for event in events.named("retry.nested")}
        assert warnings == {
            "Service.client: SdkClient retries on its own; give it max_retries=0, it has 2",
            "Service.model: ChatModel retries on its own; give it max_retries=0, it has 6",
            "Service.helper: it is wrapped by tenacity; leave out that decorator",
        }
        assert {event.fields["outer"] for event in events} == {"the guard of llm"}


@pytest.mark.anyio
@virtual_time
async def test_it_is_said_once_and_not_after_each_restart() -> None:
    class Crashing(Service):
        @handles
        async def answer(self, message: Ask) -> str:
            raise KeyError("a bug")

    async with open_system() as system:
        await serve(system, Crashing)
        with capture_events(system) as events:
            with pytest.raises(Exception, match="crashed on Ask"):
                await system.get("llm").ask(Ask())
            await events.wait_for("actor.restarted")
        assert events.named("retry.nested") == []


@pytest.mark.anyio
async def test_an_ask_of_a_service_within_a_layer_is_warned_of_once() -> None:
    async with open_system() as system:
        llm = await system.spawn(Child("llm", FlakyService.script()))
        token = retry_layer.set("the loop")
        with capture_events(system) as events:
            await llm.ask(Ask())
            await llm.ask(Ask())
        retry_layer.reset(token)
        await llm.ask(Ask())
        (warning,) = events.named("retry.nested")
        assert (warning.fields["outer"], warning.fields["inner"]) == ("the loop", "the guard of llm")
        assert "one of them only" in str(warning.fields["remedy"])


@pytest.mark.anyio
async def test_layers_named_after_what_they_work_on_are_not_warned_of_for_ever() -> None:
    async with open_system() as system:
        llm = await system.spawn(Child("llm", FlakyService.script()))
        with capture_events(system) as events:
            for number in range(100):
                token = retry_layer.set(f"the loop for order {number}")
                await llm.ask(Ask())
                retry_layer.reset(token)
        assert len(events.named("retry.nested")) == 64


@pytest.mark.anyio
async def test_code_knows_the_layer_around_it() -> None:
    async with open_system() as system:
        llm = await system.spawn(Child("llm", Service))
        assert await llm.ask(Ask()) == "the guard of llm"
    assert enclosing_retry_layer() == ""
