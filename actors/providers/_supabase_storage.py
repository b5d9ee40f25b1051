"""Supabase Storage: the files of a project."""

from __future__ import annotations

from typing import ClassVar
from urllib.parse import quote

import msgspec

from ...runtime import Message, handles
from ...supervisors.policies import Concurrency, Exponential, Policy, Retry
from .._classification import ErrorTable
from .._http_messages import HttpReply, HttpRequest
from .._probe import Probe
from ._supabase_errors import STORAGE_ERRORS
from ._supabase_project import SupabaseProject, judged
from ._supabase_storage_messages import (
    DownloadFile,
    FileContent,
    FileEntry,
    ListFiles,
    RemoveFiles,
    SignFile,
    UploadFile,
)

_OBJECT = "/storage/v1/object"


class SupabaseStorage(SupabaseProject):
    """Stand for the files of a Supabase project. `Supabase` stands for its database.

    They are two services, because one may be down while the other is well. What failed for a while is
    tried again, but not an upload that must not overwrite, once it may have been done.
    """

    provider: ClassVar[str] = "supabase_storage"
    policy: ClassVar[Policy] = Policy(
        retry=Retry(attempts=3, backoff=Exponential(0.5, cap=10.0)),
        concurrency=Concurrency(4),
        attempt_timeout=120.0,
    )
    errors: ClassVar[ErrorTable] = STORAGE_ERRORS

    def probe(self, model: str | None = None) -> Probe | None:
        """List the buckets."""
        return Probe(request=HttpRequest("GET", "/storage/v1/bucket"), purpose="lists the buckets")

    @handles
    async def upload(self, message: UploadFile) -> str:
        """Store a file."""
        request = HttpRequest(
            "POST",
            _path(message.bucket, message.path),
            body=message.data,
            headers={
                "content-type": message.content_type,
                "cache-control": f"max-age={message.cache_seconds}",
                "x-upsert": "true" if message.overwrites else "false",
            },
            idempotent=False,
        )
        with judged(is_repeatable=message.overwrites):
            return self.decode(await self.exchange(request), _Uploaded).Key

    @handles
    async def download(self, message: DownloadFile) -> FileContent:
        """Read a file."""
        reply = await self.exchange(HttpRequest("GET", _path(message.bucket, message.path)))
        kind = reply.headers.get("content-type", "application/octet-stream")
        return FileContent(data=reply.body, content_type=kind)

    @handles
    async def list_files(self, message: ListFiles) -> tuple[FileEntry, ...]:
        """List a folder."""
        order = {
            "prefix": message.folder,
            "limit": message.limit,
            "offset": message.offset,
            "search": message.search,
            "sortBy": {"column": "name", "order": "asc"},
        }
        path = f"{_OBJECT}/list/{quote(message.bucket, safe='')}"
        return self.decode(await self._post(path, order), tuple[FileEntry, ...])

    @handles
    async def remove(self, message: RemoveFiles) -> tuple[str, ...]:
        """Delete files."""
        path = f"{_OBJECT}/{quote(message.bucket, safe='')}"
        reply = await self.exchange(HttpRequest("DELETE", path, json={"prefixes": message.paths}))
        return tuple(gone.name for gone in self.decode(reply, tuple[FileEntry, ...]))

    @handles
    async def sign(self, message: SignFile) -> str:
        """Make an address from which anybody can read a file."""
        path = f"{_OBJECT}/sign/{quote(message.bucket, safe='')}/{quote(message.path)}"
        signed = self.decode(await self._post(path, {"expiresIn": message.seconds}), _Signed).signedURL
        return f"{self.base_url}/storage/v1{signed}"

    def is_repeatable(self, message: Message) -> bool:
        """Tell whether *message* may be attempted again after an attempt may have carried it out."""
        return message.overwrites if isinstance(message, UploadFile) else super().is_repeatable(message)

    async def _post(self, path: str, order: object) -> HttpReply:
        return await self.exchange(HttpRequest("POST", path, json=order, idempotent=True))


def _path(bucket: str, path: str) -> str:
    return f"{_OBJECT}/{quote(bucket, safe='')}/{quote(path.lstrip('/'))}"


# What the server sends, as far as it is read.
class _Uploaded(msgspec.Struct):
    Key: str


class _Signed(msgspec.Struct):
    signedURL: str  # noqa: N815 - the server's spelling
