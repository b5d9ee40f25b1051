"""The files of a fake Supabase Storage, in memory. Every bucket exists."""

from __future__ import annotations

from collections.abc import Iterable
from email import message_from_bytes
from typing import NamedTuple

from ._answers import digest


class StoredFile(NamedTuple):
    """One file."""

    data: bytes
    content_type: str


class Buckets:
    """Keep files by bucket and path."""

    def __init__(self) -> None:
        self._files: dict[str, dict[str, StoredFile]] = {}

    def put(self, bucket: str, path: str, file: StoredFile, *, overwrite: bool) -> bool:
        """Store a file; False: there is one already."""
        files = self._files.setdefault(bucket, {})
        if path in files and not overwrite:
            return False
        files[path] = file
        return True

    def get(self, bucket: str, path: str) -> StoredFile | None:
        """Return a file, or None."""
        return self._files.get(bucket, {}).get(path)

    def remove(self, bucket: str, paths: Iterable[str]) -> list[str]:
        """Drop files; return the paths of those there were."""
        files = self._files.get(bucket, {})
        return [path for path in paths if files.pop(path, None) is not None]

    def entries(self, bucket: str, prefix: str) -> list[dict[str, object]]:
        """List files and folders directly below *prefix*, by name."""
        below = f"{prefix.rstrip('/')}/" if prefix else ""
        found: dict[str, dict[str, object]] = {}
        for path, file in sorted(self._files.get(bucket, {}).items()):
            if path.startswith(below):
                name, slash, _ = path[len(below) :].partition("/")
                found[name] = _entry(name, None if slash else file)
        return list(found.values())


def uploaded(body: bytes, content_type: str) -> StoredFile:
    """Read an upload: as it is, or the file among the parts of a form."""
    if not content_type.startswith("multipart/form-data"):
        return StoredFile(body, content_type or "text/plain;charset=UTF-8")
    form = message_from_bytes(b"content-type: " + content_type.encode() + b"\r\n\r\n" + body)
    for part in form.walk():
        data = part.get_payload(decode=True)
        if part.get_filename() is not None and isinstance(data, bytes):
            return StoredFile(data, part.get_content_type())
    return StoredFile(b"", "application/octet-stream")


def _entry(name: str, file: StoredFile | None) -> dict[str, object]:
    if file is None:
        return {"name": name, "id": None, "updated_at": None, "created_at": None, "metadata": None}
    moment = "2026-01-01T00:00:00.000Z"
    metadata = {"size": len(file.data), "mimetype": file.content_type, "eTag": f'"{digest(file.data)}"'}
    return {
        "name": name,
        "id": digest(name),
        "updated_at": moment,
        "created_at": moment,
        "metadata": metadata,
    }
