"""Unmodified official clients over a service actor: the table in the docs, row by row."""

import gc
import warnings
from collections.abc import Iterator

import pytest

from relight.testing import assert_no_leaks
from tests.actors.transport.conftest import Servers
from tests.actors.transport.scenarios import SCENARIOS, outcome
from tests.actors.transport.serving import PROVIDERS, client_of, serving
from tests.support.markdown import rows_of_table
from tests.support.tree import ROOT

pytestmark = [
    pytest.mark.anyio,
    # On trio both clients leave the generators inside their streams to the garbage collector.
    pytest.mark.filterwarnings(r"ignore:Async generator '(openai|anthropic|httpx2)\.:ResourceWarning"),
]

TABLE = {row[0]: row[1:] for row in rows_of_table((ROOT / "docs/transport.md").read_text(), "scenario")}


@pytest.fixture(scope="module", autouse=True)
def _nothing_is_left_to_be_collected_elsewhere() -> Iterator[None]:
    yield
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        gc.collect()


def test_the_table_has_a_row_for_each_scenario() -> None:
    assert list(TABLE) == list(SCENARIOS)


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_the_caller_sees_what_the_table_says(servers: Servers, provider: str, scenario: str) -> None:
    what = SCENARIOS[scenario]
    servers.script(provider, what.steps)
    async with (
        serving(servers, provider, what) as (system, ref),
        client_of(provider, ref, servers, what) as talk,
    ):
        seen = await outcome(talk, what)
        await assert_no_leaks(system, timers=False)
    requests = len(servers.requests(provider))
    column = 2 * PROVIDERS.index(provider)
    assert [seen, str(requests)] == TABLE[scenario][column : column + 2]
