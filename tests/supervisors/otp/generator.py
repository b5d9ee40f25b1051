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
RESTARTS = ("permanent", "transient", "temporary")
AUTOS = ("any_significant", "all_significant")
EXITS = ("boom", "boom", "boom", "normal", "shutdown", "shutdown_x", "kill")
STYLES = ("started", "factory", "lifespan")
DEPTH = 3
"""Levels of supervisors."""
UNKNOWN = "nobody"


@dataclass(frozen=True)
class Features:
    """What may occur in a scenario; all of it unless a check looks at less."""

    strategies: tuple[str, ...] = STRATEGIES
    autos: tuple[str, ...] = AUTOS
    ignores: bool = True
    dynamic: bool = True
    held: bool = True
    nested: bool = True
    start_failures: bool = True


@dataclass
class _Maker:
    rng: Random
    features: Features
    names: int = 0
    sups: int = 0
    dynamic: dict[str, int] = field(default_factory=dict[str, int])

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    # --- trees ---

    def top(self) -> Node:
        if self.features.dynamic and self.chance(0.1):
            return self.dyn("never", restart="temporary")
        return self.sup(1, "never", restart="temporary")

    def sup(self, depth: int, auto_above: str, restart: str | None = None) -> Sup:
        self.sups += 1
        name = "s" if self.sups == 1 else f"s{self.sups}"
        kept = restart or self.rng.choice(RESTARTS)
        auto = self.rng.choice(self.features.autos) if self.features.autos and self.chance(0.3) else "never"
        size = self.rng.choice((0, 1, 2, 2, 3, 3, 4)) if depth > 1 else self.rng.choice((1, 2, 3, 3, 4, 5))
        return Sup(
            name,
            self.rng.choice(self.features.strategies),
            self.rng.choice((0, 1, 1, 2, 2, 3, 4, 8)),
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
            self.rng.choice((0, 1, 2, 3, 5)),
            self.rng.choice(RESTARTS),
            "brutal" if self.chance(0.15) else "wait",
            kept,
            self.significant(kept, auto_above),
        )

    def child(self, depth: int, auto: str) -> Node:
        if depth < DEPTH and self.features.nested and self.chance(0.25):
            if self.features.dynamic and self.chance(0.3):
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
        return auto != "never" and restart != "permanent" and self.chance(0.6)

    def outcomes(self, share: float) -> Outcomes:
        """Choose how the first starts end; the very first one seldom fails, or there would be no tree."""
        if not self.chance(share):
            return ()
        kinds = ["ok", "ok"]
        kinds += ["fail"] * 4 if self.features.start_failures else []
        kinds += ["ignore"] if self.features.ignores else []
        first = self.rng.choice(kinds) if self.chance(0.1) else "ok"
        return (first, *(self.rng.choice(kinds) for _ in range(self.rng.randint(1, 5))))

    # --- events ---

    def events(self, tree: Node) -> tuple[Event, ...]:
        nodes = {node.name: node for node in below(tree)}
        return tuple(self.event(nodes) for _ in range(self.rng.randint(1, 12)))

    def event(self, nodes: dict[str, Node]) -> Event:
        kind = self.rng.random()
        if kind < 0.45:
            return self.exit(nodes)
        if kind < 0.6 and self.features.held:
            return self.held(nodes)
        return self.call(nodes, self.any_sup(nodes))

    def exit(self, nodes: dict[str, Node]) -> Exit:
        workers = [node.name for node in nodes.values() if isinstance(node, Worker)]
        workers += [
            f"{name}_{number}" for name, made in self.dynamic.items() for number in range(1, made + 1)
        ]
        return Exit(self.rng.choice(workers) if workers else UNKNOWN, self.rng.choice(EXITS))

    def held(self, nodes: dict[str, Node]) -> Held:
        sup = self.any_sup(nodes)
        steps: list[Exit | Call] = []
        gone: set[str] = set()
        # A permanent supervisor may be started again with requests in its mailbox, which relight keeps.
        may_ask = sup.restart != "permanent"
        for _ in range(self.rng.randint(2, 5)):
            if may_ask and self.chance(0.5):
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
            name = f"{sup.name}_{self.rng.randint(1, made)}" if made else UNKNOWN
            return Exit(name, self.rng.choice(EXITS))
        current = nodes[sup.name]
        workers = [node.name for node in below(current) if isinstance(node, Worker)]
        return Exit(self.rng.choice(workers) if workers else UNKNOWN, self.rng.choice(EXITS))

    def any_sup(self, nodes: dict[str, Node]) -> Sup | Dyn:
        return self.rng.choice([node for node in nodes.values() if not isinstance(node, Worker)])

    def call(self, nodes: dict[str, Node], sup: Sup | Dyn) -> Call:
        if isinstance(sup, Dyn):
            return self.dynamic_call(nodes, sup)
        verb = self.rng.choice(
            ("start_child", "terminate_child", "terminate_child", "restart_child", "restart_child")
            + ("delete_child", "which_children", "count_children")
        )
        if verb in ("which_children", "count_children"):
            return Call(verb, sup.name)
        if verb != "start_child":
            ids = [child.name for child in sup.children] + [UNKNOWN]
            added = [name for name in nodes if name.startswith(f"{sup.name}_")]
            return Call(verb, sup.name, self.rng.choice(ids + added))
        return Call(verb, sup.name, self.new_child(nodes, sup))

    def new_child(self, nodes: dict[str, Node], sup: Sup) -> Node:
        """Describe a child to be started: a new one, or one with the id of a known one."""
        known = [child.name for child in sup.children if isinstance(child, Worker)]
        if known and self.chance(0.5):
            return self.worker(sup.auto, self.rng.choice(known))
        if self.features.nested and self.chance(0.2):
            node: Node = self.sup(DEPTH, sup.auto)
        else:
            auto = "any_significant" if self.features.autos and self.chance(0.1) else sup.auto
            node = self.worker(auto)
        for each in below(node):
            nodes[each.name] = each
        return node

    def dynamic_call(self, nodes: dict[str, Node], dyn: Dyn) -> Call:
        verb = self.rng.choice(
            ("start_dynamic", "start_dynamic", "start_dynamic", "terminate_dynamic")
            + ("which_children", "count_dynamic")
        )
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


def make_scenario(seed: int, number: int, features: Features = Features()) -> Scenario:  # noqa: B008 - frozen
    """Make the scenario of this number; the same seed and number always make the same one."""
    maker = _Maker(Random(f"{seed}:{number}"), features)
    tree = maker.top()
    return Scenario(tree, maker.events(tree))
