"""The publisher uploads the video, and keeps the books: what it cost, a row a video."""

from __future__ import annotations

import msgspec

from relight import Agent, Ref, Request, handles
from relight.actors.providers import UploadFile, UpsertRows

BUCKET = "videos"
TABLE = "videos"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the books."""

    id: str
    title: str
    path: str
    scenes: int
    paid: float
    """US dollars."""


class PublishVideo(Request[Entry], frozen=True, kw_only=True):
    """Publish a video."""

    id: str
    title: str
    data: bytes
    scenes: int
    paid: float


class Publisher(Agent):
    """Store the file, then the row. Both may be done any number of times."""

    def __init__(
        self, storage: Ref | str = "services/storage", rows: Ref | str = "services/database"
    ) -> None:
        self.storage = storage
        self.rows = rows

    @handles
    async def publish(self, message: PublishVideo) -> Entry:
        path = await self.ask(
            self.storage,
            UploadFile(bucket=BUCKET, path=f"{message.id}.mp4", data=message.data, content_type="video/mp4"),
        )
        entry = Entry(id=message.id, title=message.title, path=path, scenes=message.scenes, paid=message.paid)
        await self.ask(self.rows, UpsertRows(table=TABLE, rows=(entry,), key=("id",)))
        return entry
