"""What relight does otherwise than OTP on purpose, and how it is kept out of the comparison."""

from collections.abc import Iterator

from tests.supervisors.otp.scenarios import Call, Exit, Held, Node, Scenario, Start, below

DEVIATIONS = {
    "the restart window": (
        "relight's is a float on its own clock, OTP's counts whole seconds; all periods are an hour, so "
        "that neither clock matters"
    ),
    "backoff": "OTP has none; no child has one here",
    "ref.stop()": "stops a child for good, whatever its restart type; OTP would restart it; never called",
    "a message for the next incarnation": (
        "relight's mailboxes outlive a restart, so a request to a permanent supervisor that gives up is "
        "answered by its next incarnation, where OTP's caller gets an exit; such supervisors are asked "
        "nothing while they are suspended"
    ),
    "a ref after a restart": (
        "a dynamic child keeps its ref where OTP's gets a new pid; none is terminated while its supervisor "
        "has yet to hear of its end"
    ),
    "ignore when a dynamic child restarts": (
        "OTP keeps an entry without a process, relight drops the child; such a child ignores its first "
        "start only"
    ),
    "counting a dynamic supervisor": (
        "OTP counts as active all it has not heard the end of, relight those that are alive, and relight "
        "counts a spec for each child, OTP one; counted at rest, and specs are not compared"
    ),
    "auto shutdown and init of a dynamic supervisor": "relight's has neither",
    "the order of a dynamic supervisor's children": (
        "they stop at the same time, and OTP lists them in no order; both are sorted"
    ),
    "killing a supervisor": (
        "OTP's children hear of it by signals, later, in any order and run their stop hooks; relight kills "
        "them with it; no supervisor is killed"
    ),
    "an ignored start": "OTP answers {ok, undefined}, relight with a ref that has ended; taken as the same",
}
"""Each deviation, and what is done about it."""


def is_comparable(scenario: Scenario) -> bool:
    """Tell whether no deviation shows in a scenario.

    The top is temporary, as OTP's is: nobody is above it to start it again.
    """
    if scenario.tree.restart != "temporary":
        return False
    nodes = {node.name: node for node in _nodes(scenario)}
    return not any(
        _shows_a_deviation(event, nodes) if isinstance(event, Held) else _ignores_later(event)
        for event in scenario.events
    )


def _nodes(scenario: Scenario) -> Iterator[Node]:
    yield from below(scenario.tree)
    for event in scenario.events:
        for step in event.steps if isinstance(event, Held) else (event,):
            if isinstance(step, Call) and not isinstance(step.argument, Start | str):
                yield from below(step.argument)


def _shows_a_deviation(event: Held, nodes: dict[str, Node]) -> bool:
    sup = nodes.get(event.sup)
    is_asked = any(isinstance(step, Call) for step in event.steps)
    if sup is not None and sup.restart == "permanent" and is_asked:
        return True
    gone: set[object] = set()
    for step in event.steps:
        if isinstance(step, Exit):
            gone.add(step.name)
        elif (
            step.verb == "count_dynamic"
            or (step.verb == "terminate_dynamic" and step.argument in gone)
            or _ignores_later(step)
        ):
            return True
    return False


def _ignores_later(event: Exit | Call) -> bool:
    return (
        isinstance(event, Call)
        and isinstance(event.argument, Start)
        and "ignore" in event.argument.outcomes[1:]
    )
