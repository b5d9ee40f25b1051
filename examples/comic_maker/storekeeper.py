"""The storekeeper puts a page's panels into Supabase Storage, and a row about it into the database.

Both may be done any number of times: a file takes its own place again, and so does a row.
"""

from __future__ import annotations

import msgspec

from relight import Agent, Ref, Request, handles
from relight.actors.providers import UploadFile, UpsertRows

BUCKET = "comics"
TABLE = "pages"


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table of pages."""

    comic: str
    number: int
    scene: str
    panels: list[str]
    """Paths of the pictures."""


class StorePage(Request[Page], frozen=True, kw_only=True):
    """Store a page, with its pictures."""

    comic: str
    number: int
    scene: str
    pictures: tuple[bytes, ...]


class Storekeeper(Agent):
    """Store pages."""

    def __init__(
        self, storage: Ref | str = "services/storage", rows: Ref | str = "services/database"
    ) -> None:
        self.storage = storage
        self.rows = rows

    @handles
    async def store(self, message: StorePage) -> Page:
        paths: list[str] = []
        for place, picture in enumerate(message.pictures, start=1):
            path = f"{message.comic}/page-{message.number}/panel-{place}.png"
            upload = UploadFile(bucket=BUCKET, path=path, data=picture, content_type="image/png")
            paths.append(await self.ask(self.storage, upload))
        page = Page(comic=message.comic, number=message.number, scene=message.scene, panels=paths)
        await self.ask(self.rows, UpsertRows(table=TABLE, rows=(page,), key=("comic", "number")))
        return page
