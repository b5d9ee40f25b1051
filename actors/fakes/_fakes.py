"""Run fakes in child processes and steer them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Literal, TypeVar

import msgspec

from ._addresses import Address
from ._extras import require_http, require_web
from ._log import FakeStatistics, LogEntry
from ._names import PROVIDERS, check_provider, check_providers
from ._options import FakeOptions, FakeSpec
from ._outages import Outage
from ._plan import FaultPlan
from ._process import FakeProcess
from ._steps import Step

if TYPE_CHECKING:
    import httpx2

T = TypeVar("T")

_CONTROL_TIMEOUT = 10.0


class Fakes:
    """The running fakes: where they are, and the ways to steer them.

    Every method takes the provider's name. The control of a fake answers in milliseconds, also
    while its provider hangs or is down. It does not matter which event loop calls.
    """

    def __init__(self, addresses: Mapping[str, Address], processes: Mapping[str, FakeProcess]) -> None:
        self._addresses = addresses
        self._processes = processes

    @property
    def providers(self) -> tuple[str, ...]:
        """The providers that have a fake here."""
        return tuple(self._addresses)

    def url(self, provider: str) -> str:
        """Return the base URL, without a path: ``http://127.0.0.1:PORT``."""
        return self._address(provider).url

    def key(self, provider: str) -> str:
        """Return the API key that the fake accepts."""
        return self._address(provider).key

    async def script(self, provider: str, steps: Sequence[Step]) -> None:
        """Say what the next requests get; behind the steps that still wait."""
        await self._order(provider, "script", list(steps))

    async def set_plan(self, provider: str, plan: FaultPlan) -> None:
        """Follow *plan* from the next request on; until a reset."""
        await self._order(provider, "plan", plan)

    async def start_outage(self, outage: Outage) -> None:
        """Schedule one more outage; its seconds or requests are counted from now."""
        await self._order(outage.provider, "outage", outage)

    async def top_up(self, provider: str, requests: int | None = None) -> None:
        """Pay for *requests* more, where ``FakeOptions.quota`` is spent; None: for all to come."""
        await self._order(provider, "top-up", {"requests": requests})

    async def reset(self, provider: str) -> None:
        """Begin anew: numbers, clock, log, script, jobs, quota, outages and the first plan."""
        await self._order(provider, "reset", {})

    async def log(self, provider: str, *, after: int = 0) -> list[LogEntry]:
        """Return the last 10,000 requests in order of arrival; those after number *after*."""
        return await self._read(provider, f"log?after={after}", list[LogEntry])

    async def statistics(self, provider: str) -> FakeStatistics:
        """Return the counts of the fake."""
        return await self._read(provider, "statistics", FakeStatistics)

    async def kill(self, provider: str) -> None:
        """Kill the fake's process: connections break, later ones are refused. There is no way back.

        With ``processes="one"`` all fakes go together.
        """
        self._address(provider)
        await self._processes[provider].kill()

    def _address(self, provider: str) -> Address:
        check_provider(provider)
        if provider not in self._addresses:
            raise ValueError(f"no fake of {provider!r} was opened: only of {', '.join(self._addresses)}")
        return self._addresses[provider]

    async def _order(self, provider: str, name: str, order: object) -> None:
        response = await self._control("POST", provider, name, msgspec.json.encode(order))
        if response.status_code != 200:
            raise ValueError(f"the fake of {provider} refused the {name}: {response.text}")

    async def _read(self, provider: str, name: str, type_: type[T]) -> T:
        response = await self._control("GET", provider, name)
        return msgspec.json.decode(response.content, type=type_)

    async def _control(self, method: str, provider: str, name: str, body: bytes = b"") -> httpx2.Response:
        require_http()
        import httpx2  # needs the extra, and only those who steer need it

        # A client for each call costs little, and none is left behind in some other event loop. No
        # proxies from the environment, no certificates: the other end is on this machine.
        async with httpx2.AsyncClient(trust_env=False, verify=False, timeout=_CONTROL_TIMEOUT) as client:
            return await client.request(method, f"{self.url(provider)}/_fake/{name}", content=body)


@asynccontextmanager
async def open_fakes(
    providers: Sequence[str] = PROVIDERS,
    *,
    plan: FaultPlan | Mapping[str, FaultPlan] | None = None,
    outages: Sequence[Outage] = (),
    options: FakeOptions | Mapping[str, FakeOptions] | None = None,
    processes: Literal["one", "each"] = "one",
) -> AsyncGenerator[Fakes, None]:
    """Serve fakes on 127.0.0.1, each on a port of its own, until the block ends.

    They run in child processes, which end with this one, however it ends. Leaving the block drops
    every connection at once; a hanging request does not hold it up.

    Args:
        providers: openai, anthropic, runpod, elevenlabs, supabase, or some of them.
        plan: The faults: one plan for all, or one per provider (the others have none). A plan's
            faults differ from provider to provider.
        outages: Scripted outages, counted from when the fakes are ready.
        options: Speed and limits: for all, or per provider.
        processes: "one" starts fast and shares one core. "each": a fake that is flooded or killed
            takes nothing from the others but the machine's cores.

    Raises:
        ValueError: A provider, plan, outage or option is not possible. Nothing was started.
        MissingExtraError: The extra ``web`` is not installed.
        FakeStartError: A child process ended before it was ready.
    """
    specs = _specs(check_providers(providers), plan, outages, options)
    require_web()
    groups = [specs] if processes == "one" else [[spec] for spec in specs]
    async with AsyncExitStack() as stack:
        children = [FakeProcess(group) for group in groups]
        for child in children:
            stack.push_async_callback(child.stop)
            await child.start()
        addresses: dict[str, Address] = {}
        owners: dict[str, FakeProcess] = {}
        for child in children:
            found = await child.wait_ready()
            addresses.update(found)
            owners.update(dict.fromkeys(found, child))
        yield Fakes(addresses, owners)


def _specs(
    providers: Sequence[str],
    plan: FaultPlan | Mapping[str, FaultPlan] | None,
    outages: Sequence[Outage],
    options: FakeOptions | Mapping[str, FakeOptions] | None,
) -> list[FakeSpec]:
    plans = plan if isinstance(plan, Mapping) else dict.fromkeys(providers, plan or FaultPlan())
    choices = options if isinstance(options, Mapping) else dict.fromkeys(providers, options or FakeOptions())
    _check_opened(providers, plans, "a plan")
    _check_opened(providers, choices, "options")
    _check_opened(providers, [outage.provider for outage in outages], "an outage")
    return [
        FakeSpec(
            provider=provider,
            plan=plans.get(provider, FaultPlan()),
            outages=tuple(outage for outage in outages if outage.provider == provider),
            options=choices.get(provider, FakeOptions()),
        )
        for provider in providers
    ]


def _check_opened(providers: Sequence[str], named: Iterable[str], what: str) -> None:
    for name in named:
        if name not in providers:
            raise ValueError(f"there is {what} for {name!r}, which is not among the providers")
