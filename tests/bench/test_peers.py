"""Libraries a guarded call is compared with: each works on the backend at hand, or it is said why not."""

import pytest

from relight.bench import _peers
from relight.bench._peers import PEERS, Function, Peer, PeerError, try_out

pytestmark = pytest.mark.anyio


def retried_once(function: Function) -> Function:
    async def quote() -> int:
        try:
            return await function()
        except ConnectionError:
            return await function()

    return quote


async def test_a_peer_that_retries_is_tried_with_a_failure_before_it_is_measured() -> None:
    function = await try_out(Peer("own", ("sys",), "a loop", retried_once))
    assert await function() == 1
    with pytest.raises(PeerError, match="fails on this backend: once"):
        await try_out(Peer("own", ("sys",), "nothing", lambda function: function))


async def test_a_peer_that_is_not_installed_is_said_with_the_remedy() -> None:
    with pytest.raises(PeerError, match="no_such_library not installed: pip install --group bench-peers"):
        await try_out(Peer("own", ("sys", "no_such_library"), "nothing", retried_once))


async def test_a_peer_that_answers_something_else_is_not_compared_with() -> None:
    def wrong(_function: Function) -> Function:
        async def quote() -> int:
            return 2

        return quote

    with pytest.raises(PeerError, match="answers 2"):
        await try_out(Peer("own", ("sys",), "nothing", wrong))


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
async def test_each_peer_answers_or_says_why_it_can_not(peer: Peer) -> None:
    try:
        function = await try_out(peer)
    except PeerError as error:
        assert "not installed" in str(error) or "no running event loop" in str(error)  # noqa: PT017
    else:
        assert await function() == await _peers._quote() == 1
