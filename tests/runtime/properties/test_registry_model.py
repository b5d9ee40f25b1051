"""The registry against a list of who holds what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from relight.runtime import Cell, NameTakenError, NoSuchActorError
from relight.runtime import _registry as registry_module

NAMES = [f"name-{number}" for number in range(5)]
names = st.sampled_from(NAMES)


@dataclass(eq=False)
class Stub:
    """All that the registry sees of an actor."""

    path: str

    @property
    def cell(self) -> Cell:
        return cast("Cell", self)


class RegistryAgainstModel(RuleBasedStateMachine):
    """Names are a plain list of pairs here: a name is held by whoever is in it."""

    actors: Bundle[Stub] = Bundle("actors")

    def __init__(self) -> None:
        super().__init__()
        self.registry = registry_module.Registry()
        self.held: list[tuple[str, Stub]] = []

    def holder(self, name: str) -> Stub | None:
        return next((actor for held, actor in self.held if held == name), None)

    def is_live(self, actor: Stub) -> bool:
        return (actor.path, actor) in self.held

    def claim(self, name: str, actor: Stub) -> None:
        holder = self.holder(name)
        if holder is None:
            self.registry.claim(name, actor.cell)
            self.held.append((name, actor))
        elif holder is actor:
            self.registry.claim(name, actor.cell)  # harmless
        else:
            with pytest.raises(NameTakenError) as caught:
                self.registry.claim(name, actor.cell)
            assert caught.value.name == name

    @rule(target=actors, path=names)
    def start(self, path: str) -> Stub:
        """Start an actor; where the path is taken it does not start."""
        actor = Stub(path)
        self.claim(path, actor)
        return actor

    @rule(actor=actors, name=names)
    def take_another_name(self, actor: Stub, name: str) -> None:
        if self.is_live(actor):
            self.claim(name, actor)

    @rule(actor=actors)
    def end(self, actor: Stub) -> None:
        """End an actor, perhaps again: its names may be another's by now, and stay that one's."""
        self.registry.forget(actor.cell)
        if self.is_live(actor):
            self.held = [(name, holder) for name, holder in self.held if holder is not actor]

    @rule(name=names)
    def give_a_name_back(self, name: str) -> None:
        """Free an extra name; a path stays its actor's own."""
        holder = self.holder(name)
        if holder is None or holder.path == name:
            with pytest.raises(NoSuchActorError):
                self.registry.release(name)
        else:
            self.registry.release(name)
            self.held.remove((name, holder))

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def end_a_live_one(self, data: st.DataObject) -> None:
        self.end(data.draw(st.sampled_from([actor for _, actor in self.held])))

    @invariant()
    def names_lead_to_their_holders(self) -> None:
        assert len(self.registry) == len(self.held)
        for name in NAMES:
            holder = self.holder(name)
            assert self.registry.find(name) is cast("object", holder)
            if holder is None:
                with pytest.raises(NoSuchActorError):
                    self.registry.get(name)
            else:
                assert self.registry.get(name) is cast("object", holder)

    @invariant()
    def the_living_are_listed_once_each_in_start_order(self) -> None:
        expected = [actor for name, actor in self.held if name == actor.path]
        assert self.registry.cells() == cast("list[Cell]", expected)


TestRegistryAgainstModel = RegistryAgainstModel.TestCase
