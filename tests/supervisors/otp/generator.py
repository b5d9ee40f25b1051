"""Make random scenarios, each from the seed and its number alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from tests.supervisors.otp.scenarios import (
    Call,
    Dyn,
    Event,
    Exit,
    Held,
    Node,
    Outcomes,
    Scenario,
    Start,
    Sup,
    Worker,
    below,
)

STRATEGIES = ("one_for_one", "one_for_all", "rest_for_one")
RESTARTS = ("permanent", "permanent", "transient", "transient", "temporary")
AUTOS = ("any_significant", "all_significant")
EXITS = ("boom", "boom", "boom", "normal", "shutdown", "shutdown_x", "kill")
STYLES = ("started", "factory", "lifespan")
DEPTH = 3
"""Levels of supervisors."""
UNKNOWN = "nobody"
_VERBS = (
    *("start_child", "terminate_child", "terminate_child", "restart_child", "restart_child"),
    *("delete_child", "which_children", "count_children"),
)
_DYNAMIC_VERBS = (
    *("start_dynamic", "start_dynamic", "start_dynamic", "terminate_dynamic"),
    *("which_children", "count_dynamic"),
)


@dataclass
class _Maker:
    rng: Random
    names: int = 0
    sups: int = 0
    dynamic: dict[str, int] = field(default_factory=dict[str, int])
    """How many children each dynamic supervisor was asked to start."""
    added: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """Ids that each supervisor was asked to start."""
    focus: frozenset[str] = frozenset()
    """To whom most happens: what is asked of a child is seldom refused, and one death follows another."""

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    # --- trees ---

    def top(self) -> Node:
        if self.chance(0.1):
            return self.dyn("never", restart="temporary")
        return self.sup(1, "never", restart="temporary")

    def sup(self, depth: int, auto_above: str, restart: str | None = None) -> Sup:
        self.sups += 1
        name = "s" if self.sups == 1 else f"s{self.sups}"
        kept = restart or self.rng.choice(RESTARTS)
        auto = self.rng.choice(AUTOS) if self.chance(0.35) else "never"
        size = self.rng.choice((0, 1, 2, 2, 3, 3, 4)) if depth > 1 else self.rng.choice((1, 2, 3, 3, 4, 5))
        return Sup(
            name,
            self.rng.choice(STRATEGIES),
            self.rng.choice((0, 1, 2, 2, 3, 4, 5, 8)),
            auto,
            kept,
            self.significant(kept, auto_above),
            self.outcomes(0.12),
            tuple(self.child(depth, auto) for _ in range(size)),
        )

    def dyn(self, auto_above: str, restart: str | None = None) -> Dyn:
        self.sups += 1
        kept = restart or self.rng.choice(RESTARTS)
        return Dyn(
            f"d{self.sups}",
            self.rng.choice((0, 1, 2, 3, 5, 8)),
            self.rng.choice(RESTARTS),
            "brutal" if self.chance(0.15) else "wait",
            kept,
            self.significant(kept, auto_above),
        )

    def child(self, depth: int, auto: str) -> Node:
        if depth < DEPTH and self.chance(0.25):
            if self.chance(0.3):
                return self.dyn(auto)
            return self.sup(depth + 1, auto)
        return self.worker(auto)

    def worker(self, auto: str, name: str | None = None) -> Worker:
        if name is None:
            name = f"w{self.names}" if self.names >= 18 else "abcdefghijklmnopqr"[self.names]
            self.names += 1
        restart = self.rng.choice(RESTARTS)
        return Worker(
            name,
            restart,
            self.significant(restart, auto),
            self.outcomes(0.4),
            "brutal" if self.chance(0.15) else "wait",
            self.rng.choice(STYLES),
        )

    def significant(self, restart: str, auto: str) -> bool:
        return auto != "never" and restart != "permanent" and self.chance(0.7)

    def outcomes(self, share: float) -> Outcomes:
        """Choose how the first starts end; the very first one seldom fails, or there would be no tree."""
        if not self.chance(share):
            return ()
        kinds = ("ok", "ok", "fail", "fail", "fail", "fail", "ignore")
        first = self.rng.choice(kinds) if self.chance(0.1) else "ok"
        return (first, *(self.rng.choice(kinds) for _ in range(self.rng.randint(1, 5))))

    # --- events ---

    def events(self, tree: Node) -> tuple[Event, ...]:
        nodes = {node.name: node for node in below(tree)}
        names = [*nodes, *(f"{name}_{number}" for name in nodes for number in (1, 2))]
        self.focus = frozenset(self.rng.sample(names, max(1, len(nodes) // 3)))
        return tuple(self.event(nodes) for _ in range(self.rng.randint(1, 12)))

    def event(self, nodes: dict[str, Node]) -> Event:
        kind = self.rng.random()
        if kind < 0.35:
            return self.exit(nodes)
        if kind < 0.6:
            return self.held(nodes)
        return self.call(nodes, self.any_sup(nodes))

    def exit(self, nodes: dict[str, Node]) -> Exit:
        workers = [node.name for node in nodes.values() if isinstance(node, Worker)]
        workers += [
            f"{name}_{number}" for name, made in self.dynamic.items() for number in range(1, made + 1)
        ]
        return self.exit_of(workers)

    def exit_of(self, workers: list[str]) -> Exit:
        focus = [name for name in workers if name in self.focus]
        name = self.rng.choice(focus if focus and self.chance(0.5) else workers or [UNKNOWN])
        return Exit(name, self.rng.choice(EXITS))

    def held(self, nodes: dict[str, Node]) -> Held:
        sup = self.any_sup(nodes)
        steps: list[Exit | Call] = []
        gone: set[object] = set()
        # A permanent supervisor may be started again with requests in its mailbox, which relight keeps.
        may_ask = sup.restart != "permanent"
        for _ in range(self.rng.randint(2, 6)):
            if may_ask and self.chance(0.6):
                call = self.call(nodes, sup)
                if call.verb != "count_dynamic" and not (
                    call.verb == "terminate_dynamic" and call.argument in gone
                ):
                    steps.append(call)
            else:
                step = self.exit_below(nodes, sup)
                gone.add(step.name)
                steps.append(step)
        return Held(sup.name, tuple(steps))

    def exit_below(self, nodes: dict[str, Node], sup: Sup | Dyn) -> Exit:
        if isinstance(sup, Dyn):
            made = self.dynamic.get(sup.name, 0)
            return self.exit_of([f"{sup.name}_{number}" for number in range(max(1, made - 3), made + 1)])
        return self.exit_of([node.name for node in below(nodes[sup.name]) if isinstance(node, Worker)])

    def any_sup(self, nodes: dict[str, Node]) -> Sup | Dyn:
        sups = [node for node in nodes.values() if not isinstance(node, Worker)]
        return sups[0] if self.chance(0.35) else self.rng.choice(sups)

    def call(self, nodes: dict[str, Node], sup: Sup | Dyn) -> Call:
        if isinstance(sup, Dyn):
            return self.dynamic_call(nodes, sup)
        verb = self.rng.choice(_VERBS)
        if verb in ("which_children", "count_children"):
            return Call(verb, sup.name)
        if verb != "start_child":
            return Call(verb, sup.name, self.id_below(sup))
        return Call(verb, sup.name, self.new_child(nodes, sup))

    def id_below(self, sup: Sup) -> str:
        if self.chance(0.06):
            return UNKNOWN
        ids = [child.name for child in sup.children] + self.added.get(sup.name, [])
        focus = [name for name in ids if name in self.focus]
        return self.rng.choice(focus if focus and self.chance(0.6) else ids or [UNKNOWN])

    def new_child(self, nodes: dict[str, Node], sup: Sup) -> Node:
        """Describe a child to be started: a new one, or one with the id of a known one."""
        known = self.id_below(sup)
        if known != UNKNOWN and isinstance(nodes[known], Worker) and self.chance(0.6):
            return self.worker(sup.auto, known)
        if self.chance(0.2):
            node: Node = self.sup(DEPTH, sup.auto)
        else:
            auto = "any_significant" if self.chance(0.1) else sup.auto
            node = self.worker(auto)
        for each in below(node):
            nodes[each.name] = each
        self.added.setdefault(sup.name, []).append(node.name)
        return node

    def dynamic_call(self, nodes: dict[str, Node], dyn: Dyn) -> Call:
        verb = self.rng.choice(_DYNAMIC_VERBS)
        if verb == "start_dynamic":
            number = self.dynamic[dyn.name] = self.dynamic.get(dyn.name, 0) + 1
            first, *others = self.outcomes(0.3) or ("ok",)
            kept = (outcome for outcome in others if outcome != "ignore")  # see the table of deviations
            return Call(verb, dyn.name, Start(f"{dyn.name}_{number}", (first, *kept)))
        if verb != "terminate_dynamic":
            return Call(verb, dyn.name)
        return Call(
            verb, dyn.name, self.exit(nodes).name if self.chance(0.3) else self.exit_below(nodes, dyn).name
        )


def make_scenario(seed: int, number: int) -> Scenario:
    """Make the scenario of this number; the same seed and number always make the same one."""
    maker = _Maker(Random(f"{seed}:{number}"))
    tree = maker.top()
    return Scenario(tree, maker.events(tree))
