"""Service: what an actor that stands for any service, HTTP or not, has ready."""

import pytest

from relight.actors import HttpRequest, HttpService, Service
from relight.actors.providers import JobStatus, OpenAI, RunJob, RunPod, SubmitJob
from relight.runtime import Message, Request, handles
from relight.supervisors import Child, FailureKind, ProviderError, Supervisor, open_system

KEY = "key-0123456789"


class Query(Request[str], frozen=True):
    text: str = ""


class Database(Service):
    """Has a constructor of its own, which knows nothing of keys and prices."""

    def __init__(self) -> None:
        self.queries = 0

    @handles
    async def query(self, message: Query) -> str:
        self.queries += 1
        if message.text == "bad":
            raise self.failure(FailureKind.BAD_REQUEST, "syntax error", code="42601")
        return self.name


@pytest.mark.anyio
async def test_a_service_without_a_provider_is_called_as_its_child() -> None:
    async with open_system() as system:
        await system.spawn(Supervisor("stores", children=[Child("orders", Database)]))
        database = await system.spawn(Child("people", Database))
        assert await database.ask(Query()) == "people"
        assert await system.get("stores/orders").ask(Query()) == "orders"


@pytest.mark.anyio
async def test_a_failure_says_whose_it_is() -> None:
    async with open_system() as system:
        database = await system.spawn(Child("people", Database))
        with pytest.raises(ProviderError, match=r"people: bad_request \(42601\): syntax error") as caught:
            await database.ask(Query("bad"))
    assert (caught.value.provider, caught.value.code, caught.value.retryable) == ("people", "42601", None)


def test_a_service_that_does_not_run_is_called_as_its_class() -> None:
    assert repr(Database()) == "<Database Database>"
    assert repr(OpenAI("k")) == "<OpenAI openai>"


def test_a_failure_hides_the_key() -> None:
    error = OpenAI(KEY).failure(FailureKind.SERVER, f"could not use {KEY}")
    assert error.detail == "could not use ***"


@pytest.mark.parametrize(
    ("service", "message", "is_repeatable"),
    [
        (Database(), Query(), True),
        (HttpService("http://localhost"), HttpRequest("GET", "/"), True),
        (HttpService("http://localhost"), HttpRequest("POST", "/"), False),
        (HttpService("http://localhost"), HttpRequest("POST", "/", idempotency_key="k"), True),
        (RunPod("e1", "k"), HttpRequest("POST", "/run"), False),
        (RunPod("e1", "k"), SubmitJob(input={}), False),
        (RunPod("e1", "k"), SubmitJob(input={}, duplicate_ok=True), True),
        (RunPod("e1", "k"), RunJob(input={}), True),
        (RunPod("e1", "k"), JobStatus("x"), True),
    ],
)
def test_a_service_knows_which_messages_may_be_carried_out_twice(
    service: Service, message: Message, is_repeatable: bool
) -> None:
    assert service.is_repeatable(message) is is_repeatable
