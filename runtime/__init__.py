"""What an actor is: messages, mailboxes, refs, and the dispatch that carries them.

    class Add(Request[int], frozen=True):
        amount: int

    class Counter(Actor):
        def __init__(self, start: int = 0) -> None:
            self.total = start

        @handles
        async def add(self, message: Add) -> int:
            self.total += message.amount
            return self.total

An actor is started by a supervisor (`relight.supervisors`), which returns its `Ref`. Runtime knows
nothing of services: what happens when an actor fails is decided a floor up.
"""

from ._actor import Actor
from ._actor_cell import ActorCell
from ._cell import Cell
from ._current import current_request
from ._dead_letters import DeadLetter, DeadLetters
from ._departure import Departure
from ._dispatch import Chore, DispatchStatistics, Worker
from ._engine import Engine, Root
from ._errors import (
    ActorBusyError,
    ActorCrashedError,
    ActorStoppedError,
    AskError,
    AskTimeoutError,
    DeadlineExceededError,
    DeliveryError,
    HandlerError,
    MailboxClosedError,
    MailboxFullError,
    NameTakenError,
    NoSuchActorError,
    NotRunningError,
    RefusalError,
    RelightError,
    SelfAskError,
    SettingsError,
    StartError,
    SystemEndedError,
    UnhandledMessageError,
    WrongThreadError,
)
from ._events import Events, Listener
from ._exits import (
    KILLED,
    NORMAL,
    SHUTDOWN,
    Exit,
    ExitKind,
    ExitReason,
    Ignore,
    exit_reason,
    primary_error,
    text_of,
)
from ._faces import claim
from ._forced_exit import ForcedExit, StopAsked
from ._groups import Group
from ._handlers import (
    Handler,
    Overflow,
    handles,
    message_types,
    reply_type,
)
from ._hands import StuckHandler
from ._introspection import Change, replace_state, resume, state_of, suspend, trace
from ._kernel import Kernel, Owner
from ._links import Exited
from ._logging import event_logger
from ._mailbox import Item, message_of
from ._messages import Errand, Message, Notice, Request, StreamRequest
from ._monitors import Down, Monitor
from ._parking import Backend, Slot, current_backend
from ._redaction import MASK, redact, redact_end, redact_event, redact_mapping
from ._ref import Ref
from ._refs import cell_of
from ._settings import Loaded, load_settings, same_setting
from ._shutdown import ShutdownPhase, ShutdownProcedure
from ._sponsor import Sponsor
from ._starting import fail_start, start_incarnation, starts_at_once
from ._statistics import ActorState, ActorStatistics, DeadLetterStatistics
from ._stream import Stream, sink_of
from ._timers import Timed, Timer, Timers, TimerStatistics
from ._trace import Trace, TraceEntry, TracePhase
from ._watchdog import WatchdogStatistics

__all__ = [
    "KILLED",
    "MASK",
    "NORMAL",
    "SHUTDOWN",
    "Actor",
    "ActorBusyError",
    "ActorCell",
    "ActorCrashedError",
    "ActorState",
    "ActorStatistics",
    "ActorStoppedError",
    "AskError",
    "AskTimeoutError",
    "Backend",
    "Cell",
    "Change",
    "Chore",
    "DeadLetter",
    "DeadLetterStatistics",
    "DeadLetters",
    "DeadlineExceededError",
    "DeliveryError",
    "Departure",
    "DispatchStatistics",
    "Down",
    "Engine",
    "Errand",
    "Events",
    "Exit",
    "ExitKind",
    "ExitReason",
    "Exited",
    "ForcedExit",
    "Group",
    "Handler",
    "HandlerError",
    "Ignore",
    "Item",
    "Kernel",
    "Listener",
    "Loaded",
    "MailboxClosedError",
    "MailboxFullError",
    "Message",
    "Monitor",
    "NameTakenError",
    "NoSuchActorError",
    "NotRunningError",
    "Notice",
    "Overflow",
    "Owner",
    "Ref",
    "RefusalError",
    "RelightError",
    "Request",
    "Root",
    "SelfAskError",
    "SettingsError",
    "ShutdownPhase",
    "ShutdownProcedure",
    "Slot",
    "Sponsor",
    "StartError",
    "StopAsked",
    "Stream",
    "StreamRequest",
    "StuckHandler",
    "SystemEndedError",
    "Timed",
    "Timer",
    "TimerStatistics",
    "Timers",
    "Trace",
    "TraceEntry",
    "TracePhase",
    "UnhandledMessageError",
    "WatchdogStatistics",
    "Worker",
    "WrongThreadError",
    "cell_of",
    "claim",
    "current_backend",
    "current_request",
    "event_logger",
    "exit_reason",
    "fail_start",
    "handles",
    "load_settings",
    "message_of",
    "message_types",
    "primary_error",
    "redact",
    "redact_end",
    "redact_event",
    "redact_mapping",
    "replace_state",
    "reply_type",
    "resume",
    "same_setting",
    "sink_of",
    "start_incarnation",
    "starts_at_once",
    "state_of",
    "suspend",
    "text_of",
    "trace",
]

claim(globals())
