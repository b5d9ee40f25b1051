"""How Supabase Storage speaks. Its errors name the status that counts in the body; HTTP's is often 400."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

import msgspec

from ._answers import digest
from ._buckets import Buckets, uploaded
from ._dialects import Call, Route
from ._plan import FaultKind
from ._replies import Reply, json_reply

_OBJECT = "/storage/v1/object"

STORAGE_ROUTES: tuple[Route, ...] = (
    Route("POST", f"{_OBJECT}/list/{{bucket}}", "storage_list"),
    Route("POST", f"{_OBJECT}/sign/{{bucket}}/{{path:path}}", "storage_sign"),
    Route("GET", f"{_OBJECT}/sign/{{bucket}}/{{path:path}}", "storage_signed", is_public=True),
    Route("DELETE", f"{_OBJECT}/{{bucket}}", "storage_remove"),
    Route("GET", f"{_OBJECT}/{{bucket}}/{{path:path}}", "storage_download"),
    Route("POST", f"{_OBJECT}/{{bucket}}/{{path:path}}", "storage_upload"),
    Route("PUT", f"{_OBJECT}/{{bucket}}/{{path:path}}", "storage_update"),
)

# HTTP's status, the one in the body, error, code and message.
_Refusal = tuple[int, int, str, str, str]
_NOT_FOUND: Final[_Refusal] = (400, 404, "not_found", "NoSuchKey", "Object not found")
_DUPLICATE: Final[_Refusal] = (400, 409, "Duplicate", "ResourceAlreadyExists", "The resource already exists")
_BAD_TOKEN: Final[_Refusal] = (400, 400, "InvalidJWT", "InvalidJWT", "invalid signature")
_INVALID: Final[_Refusal] = (400, 400, "invalid_request", "InvalidRequest", "The request is malformed.")
_SLOW: Final[_Refusal] = (429, 429, "SlowDown", "SlowDown", "Too many requests")
_FULL: Final[_Refusal] = (
    500,
    503,
    "DatabaseConnectionLimit",
    "DatabaseConnectionLimit",
    "No connection left",
)
_TIMEOUT: Final[_Refusal] = (544, 544, "DatabaseTimeout", "DatabaseTimeout", "The connection timed out")
_INTERNAL: Final[_Refusal] = (500, 500, "Internal", "InternalError", "Internal server error")

_REFUSALS: Final[Mapping[FaultKind, _Refusal]] = {
    FaultKind.RATE_LIMIT: _SLOW,
    FaultKind.RATE_LIMIT_BARE: _SLOW,
    FaultKind.SLOW_DOWN: _SLOW,
    FaultKind.CONCURRENCY: _FULL,
    FaultKind.OVERLOADED: _TIMEOUT,
    FaultKind.UNAVAILABLE: _FULL,
    FaultKind.SERVER_ERROR: _INTERNAL,
    FaultKind.QUOTA: (402, 402, "exceeded", "QuotaExceeded", "This project is restricted"),
    FaultKind.AUTH: (400, 403, "Unauthorized", "InvalidJWT", "Invalid Compact JWS"),
    FaultKind.TOO_LARGE: (400, 413, "Payload too large", "EntityTooLarge", "The object exceeded the size"),
    FaultKind.NOT_FOUND: _NOT_FOUND,
    FaultKind.BAD_REQUEST: _INVALID,
}


class _List(msgspec.Struct):
    prefix: str = ""
    limit: int = 100
    offset: int = 0
    search: str = ""


class _Remove(msgspec.Struct):
    prefixes: list[str]


class _Sign(msgspec.Struct, rename="camel"):
    expires_in: int


def answer_storage(buckets: Buckets, call: Call, key: str) -> Reply:
    """Serve *call*, an operation on files; *key* signs addresses."""
    bucket, path = call.params["bucket"], call.params.get("path", "")
    try:
        match call.operation:
            case "storage_list":
                return _list(buckets, bucket, msgspec.json.decode(call.body or b"{}", type=_List))
            case "storage_remove":
                paths = msgspec.json.decode(call.body, type=_Remove).prefixes
                gone = [{"name": name, "bucket_id": bucket} for name in buckets.remove(bucket, paths)]
                return json_reply(200, gone)
            case "storage_sign":
                msgspec.json.decode(call.body, type=_Sign)
                return _sign(buckets, bucket, path, key)
            case "storage_signed" if dict(call.query).get("token") != _token(bucket, path, key):
                return _error(_BAD_TOKEN)
            case "storage_download" | "storage_signed":
                return _download(buckets, bucket, path)
            case _:
                return _upload(buckets, bucket, path, call)
    except msgspec.DecodeError:
        return _error(_INVALID)


def refuse_storage(kind: FaultKind) -> Reply:
    """Build the error *kind*; what Storage has no word for is an internal error."""
    return _error(_REFUSALS.get(kind, _INTERNAL))


def _list(buckets: Buckets, bucket: str, order: _List) -> Reply:
    found = [entry for entry in buckets.entries(bucket, order.prefix) if order.search in str(entry["name"])]
    return json_reply(200, found[order.offset : order.offset + order.limit])


def _sign(buckets: Buckets, bucket: str, path: str, key: str) -> Reply:
    if buckets.get(bucket, path) is None:
        return _error(_NOT_FOUND)
    address = f"/object/sign/{quote(bucket)}/{quote(path)}?token={_token(bucket, path, key)}"
    return json_reply(200, {"signedURL": address})


def _download(buckets: Buckets, bucket: str, path: str) -> Reply:
    file = buckets.get(bucket, path)
    if file is None:
        return _error(_NOT_FOUND)
    return Reply(200, file.data, {"content-type": file.content_type, "etag": f'"{digest(file.data)}"'})


def _upload(buckets: Buckets, bucket: str, path: str, call: Call) -> Reply:
    overwrite = call.operation == "storage_update" or call.headers.get("x-upsert") == "true"
    file = uploaded(call.body, call.headers.get("content-type", ""))
    if not buckets.put(bucket, path, file, overwrite=overwrite):
        return _error(_DUPLICATE)
    return json_reply(200, {"Key": f"{bucket}/{path}", "Id": digest(f"{bucket}/{path}", 32)})


def _token(bucket: str, path: str, key: str) -> str:
    return digest(f"{bucket}/{path}/{key}", 32)


def _error(refusal: _Refusal) -> Reply:
    status, told, error, code, message = refusal
    return json_reply(status, {"statusCode": str(told), "error": error, "message": message, "code": code})
