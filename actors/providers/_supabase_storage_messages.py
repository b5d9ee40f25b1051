"""What Supabase Storage is asked, and what it answers."""

from collections.abc import Mapping

import msgspec

from ...runtime import Request


class FileContent(msgspec.Struct, frozen=True, kw_only=True):
    """Hold a file."""

    data: bytes
    content_type: str


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Describe a file or a folder in a list."""

    name: str
    """Without the folders above it."""
    id: str | None = None
    """None: it is a folder."""
    created_at: str | None = None
    updated_at: str | None = None
    metadata: Mapping[str, object] | None = None
    """``size``, ``mimetype`` and more."""


class UploadFile(Request[str], frozen=True, kw_only=True):
    """Store a file; the reply is its path, that of the bucket included."""

    bucket: str
    path: str
    data: bytes
    content_type: str = "application/octet-stream"
    overwrites: bool = True
    """Whether it may take the place of a file that is there. Such an upload may be made any number of
    times; any other is not made again once it may have been done."""
    cache_seconds: int = 3600
    """How long browsers may keep it."""


class DownloadFile(Request[FileContent], frozen=True, kw_only=True):
    """Read a file."""

    bucket: str
    path: str


class ListFiles(Request[tuple[FileEntry, ...]], frozen=True, kw_only=True):
    """List the files and folders directly in a folder."""

    bucket: str
    folder: str = ""
    limit: int = 100
    offset: int = 0
    search: str = ""
    """Only those with this in their names."""


class RemoveFiles(Request[tuple[str, ...]], frozen=True, kw_only=True):
    """Delete files; the reply are the paths of those that were there."""

    bucket: str
    paths: tuple[str, ...]


class SignFile(Request[str], frozen=True, kw_only=True):
    """Make an address from which anybody can read a file for a while."""

    bucket: str
    path: str
    seconds: int = 3600
