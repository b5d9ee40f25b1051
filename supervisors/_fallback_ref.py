"""The ref of several providers: asks the next one when this one refuses or gives up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TypeVar, cast

from ..runtime import (
    NORMAL,
    ActorStatistics,
    Cell,
    ExitReason,
    MailboxClosedError,
    Message,
    Ref,
    RelightError,
    Request,
    Stream,
    StreamRequest,
)
from ._adaptation import Adaptation, AnyAdaptation
from ._errors import ProviderError
from ._fallback_turns import FallbackStream, Turns, provider_of
from ._guarded_cell import GuardedCell
from .policies import Fallback

ReplyT = TypeVar("ReplyT")
ChunkT = TypeVar("ChunkT")


@dataclass(frozen=True, slots=True)
class FallbackStatistics:
    """How often a fallback was used."""

    calls: int
    """Asks."""
    switches: Mapping[tuple[str, str, str], int]
    """How often one provider was asked after another: by the one that did not answer, the next one, and the
    reason (a failure's kind, or the class of the error). A service is called by its child's id."""


class FallbackRef(Ref):
    """Ask the first of several providers that answers, within one deadline.

        chat = FallbackRef(openai, anthropic, adapt={anthropic: chat_as_anthropic("claude-sonnet-4-5")})
        reply = await chat.ask(ChatCompletion(...), timeout=60.0)       # a ChatReply, whoever answered

    Each provider keeps its own guard, retries and budgets; this only decides who is asked next. The next
    one gets what is left of the time. A caller who leaves cancels the attempt under way, and that is all.
    What is told goes to the first provider that has not stopped: nobody hears whether it went well.

    Args:
        primary: Who is asked first.
        *others: Who is asked then, in this order. Actors, pools, or other fallbacks.
        policy: When the next one is asked.
        adapt: What a provider cannot take as it is, translated for it.
    """

    __slots__ = ("_adaptations", "_calls", "_refs", "_switches", "policy")

    def __init__(
        self,
        primary: Ref,
        *others: Ref,
        policy: Fallback | None = None,
        adapt: Mapping[Ref, object] | None = None,
    ) -> None:
        self._refs = (primary, *others)
        self.policy = Fallback() if policy is None else policy
        """When the next one is asked."""
        self._adaptations = {ref: _listed(ref, self._refs, made) for ref, made in (adapt or {}).items()}
        self._calls = 0
        self._switches: Counter[tuple[str, str, str]] = Counter()

    def __repr__(self) -> str:
        return f"<FallbackRef {', then '.join(ref.path for ref in self._refs)}>"

    @property
    def path(self) -> str:
        """Where the first provider stands in the tree."""
        return self._refs[0].path

    @property
    def is_alive(self) -> bool:
        """Tell whether any of the providers takes messages."""
        return any(ref.is_alive for ref in self._refs)

    @property
    def principal(self) -> Ref:
        """The first provider's: what is monitored and linked."""
        return self._refs[0].principal

    @property
    def info(self) -> object:
        """What the first provider's ``started`` returned."""
        return self._refs[0].info

    async def ask(self, message: Request[ReplyT], *, timeout: float | None = None) -> ReplyT:
        """Ask one provider after the other; see `Ref.ask`.

        Args:
            message: Handled by one of them, or by several where one gave up.
            timeout: Seconds for all of them together; None: the policy's ``call_timeout``.

        Raises:
            Exception: What the last provider raised that was asked. Its notes say what the others did.
        """
        turns = self._begin(message, timeout)
        while True:
            try:
                return await self._ask_one(turns.ref, message, turns.seconds())
            except Exception as error:  # noqa: BLE001 - raised again unless the next one takes over
                turns.failed(error)

    async def _ask_one(self, ref: Ref, message: Request[ReplyT], seconds: float) -> ReplyT:
        adaptation = self._adaptation(ref, message)
        if adaptation is None:
            return await ref.ask(message, timeout=seconds)
        reply = await ref.ask(adaptation.request(cast("Request[object]", message)), timeout=seconds)
        return cast("ReplyT", adaptation.reply(reply))

    def stream(self, message: StreamRequest[ChunkT], *, timeout: float | None = None) -> Stream[ChunkT]:
        """Prepare to read the reply in parts; see `Ref.stream`.

        The next provider is asked until the first chunk has come; from then on an error ends the stream. An
        adaptation translates the request, and its ``reply`` each chunk.
        """
        return FallbackStream(
            lambda: self._begin(message, timeout), lambda ref: self._adaptation(ref, message)
        )

    def _begin(self, message: Message, timeout: float | None) -> Turns:
        self._calls += 1
        return Turns(self._refs, self.policy, message, timeout, self._switched)

    def _switched(self, ref: Ref, following: Ref, message: Message, error: Exception) -> None:
        reason = str(error.kind) if isinstance(error, ProviderError) else type(error).__name__
        provider, to = provider_of(ref), provider_of(following)
        self._switches[provider, to, reason] += 1
        cell = ref.principal
        if isinstance(cell, GuardedCell):
            cell.guard.counters.fallbacks[to, reason] += 1
        if isinstance(cell, Cell):  # a stand-in of a test has no system
            cell.kernel.events.warning(
                "fallback.used",
                provider=provider,
                to=to,
                operation=type(message).__name__,
                reason=reason,
            )

    async def tell(self, message: Message) -> None:
        """Send *message* to the first provider that has not stopped; see `Ref.tell`."""
        for ref in self._refs[:-1]:
            try:
                return await ref.tell(self._translated(ref, message))
            except MailboxClosedError:
                continue
        return await self._refs[-1].tell(self._translated(self._refs[-1], message))

    def tell_nowait(self, message: Message) -> None:
        """Send *message* to the first provider that has not stopped, or raise; see `Ref.tell_nowait`."""
        for ref in self._refs[:-1]:
            try:
                return ref.tell_nowait(self._translated(ref, message))
            except MailboxClosedError:
                continue
        return self._refs[-1].tell_nowait(self._translated(self._refs[-1], message))

    def _translated(self, ref: Ref, message: Message) -> Message:
        adaptation = self._adaptation(ref, message)
        return message if adaptation is None else adaptation.request(cast("Request[object]", message))

    def _adaptation(self, ref: Ref, message: Message) -> AnyAdaptation | None:
        made = self._adaptations.get(ref, ())
        return next((one for one in made if isinstance(message, one.kind)), None)

    async def stop(self, reason: ExitReason = NORMAL, *, timeout: float | None = None) -> None:
        """Refuse: the providers are others' too.

        Raises:
            RelightError: Always.
        """
        raise RelightError(f"{self!r} owns no actor: stop its providers one by one")

    def statistics(self) -> ActorStatistics:
        """Add up the providers' counters, with the state of the first."""
        members = [asdict(ref.statistics()) for ref in self._refs]
        counts = {name: sum(member[name] for member in members) for name in _COUNTS}
        return ActorStatistics(self._refs[0].statistics().state, **counts)

    def fallback_statistics(self) -> FallbackStatistics:
        """Look at how often which provider took over."""
        return FallbackStatistics(self._calls, dict(self._switches))


_COUNTS = [field.name for field in fields(ActorStatistics) if field.name != "state"]


def _listed(ref: Ref, refs: Sequence[Ref], made: object) -> tuple[AnyAdaptation, ...]:
    if ref not in refs:
        raise ValueError(f"FallbackRef.adapt names {ref.path}, which is none of its providers")
    several = cast("Sequence[object]", made if isinstance(made, tuple | list) else (made,))
    for one in several:
        if not isinstance(one, Adaptation):
            raise TypeError(f"FallbackRef.adapt[{ref.path}] must hold Adaptations, got {one!r}")
    return cast("tuple[AnyAdaptation, ...]", tuple(several))
