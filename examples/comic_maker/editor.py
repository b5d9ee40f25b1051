"""The editor makes one page of a scene: a script, its panels, the shelf. It knows who does what, no more.

Each step has a checkpoint. An editor that crashed, or a program that was killed, goes on with what is not
finished: what is painted is not painted again, nor paid for again.
"""

from __future__ import annotations

from relight import Agent, Ref, Request, handles

from ..common.checkpoints import Checkpoints
from ..common.together import together
from .painter import PaintPanel, Panel
from .script_writer import Script, WriteScript
from .storekeeper import Page, StorePage


class MakePage(Request[Page], frozen=True, kw_only=True):
    """Make one page."""

    comic: str
    number: int
    scene: str


class Editor(Agent):
    """Make pages out of scenes."""

    def __init__(
        self,
        done: Checkpoints,
        writer: Ref | str = "agents/script-writers",
        painters: Ref | str = "agents/painters",
        storekeeper: Ref | str = "agents/storekeeper",
    ) -> None:
        self.done = done
        self.writer = writer
        self.painters = painters
        self.storekeeper = storekeeper

    @handles
    async def make(self, message: MakePage) -> Page:
        name, step = f"{message.comic}/page-{message.number}", self.done.step
        script = await step(f"{name}/script", Script, self.ask, self.writer, WriteScript(message.scene))
        panels = await together(
            step(f"{name}/panel-{place}", Panel, self.ask, self.painters, PaintPanel(prompt))
            for place, prompt in enumerate(script.panels, start=1)
        )
        order = StorePage(
            comic=message.comic,
            number=message.number,
            scene=message.scene,
            pictures=[panel.data for panel in panels],
        )
        return await step(f"{name}/stored", Page, self.ask, self.storekeeper, order)
