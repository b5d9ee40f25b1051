"""Every operation of every provider, with a request for each."""

from relight.actors import HttpService
from relight.actors.providers import (
    Anthropic,
    CallFunction,
    CancelJob,
    ChatCompletion,
    ChatMessage,
    CheckEndpoint,
    CreateEmbeddings,
    CreateImages,
    CreateMessage,
    CreateResponse,
    DeleteRows,
    DownloadFile,
    ElevenLabs,
    Filter,
    InsertRows,
    JobStatus,
    ListFiles,
    ListVoices,
    OpenAI,
    RemoveFiles,
    RetryJob,
    RunJob,
    RunPod,
    SelectRows,
    SignFile,
    Speak,
    StreamChat,
    StreamMessage,
    StreamResponse,
    StreamSpeech,
    SubmitJob,
    Supabase,
    SupabaseStorage,
    UpdateRows,
    UploadFile,
    UpsertRows,
)
from relight.runtime import Request

_SAID = (ChatMessage("user", "Hello?"),)
_ONE = (Filter("id", "eq", 1),)
_ROWS: tuple[dict[str, object], ...] = ({"id": 1},)

OPERATIONS: dict[type[HttpService], tuple[Request[object], ...]] = {
    OpenAI: (
        ChatCompletion(model="m", messages=_SAID),
        StreamChat(model="m", messages=_SAID),
        CreateResponse(model="m", input="x"),
        StreamResponse(model="m", input="x"),
        CreateEmbeddings(model="m", texts=("x",)),
        CreateImages(model="m", prompt="x"),
    ),
    Anthropic: (CreateMessage(model="m", messages=_SAID), StreamMessage(model="m", messages=_SAID)),
    RunPod: (
        RunJob(input={}),
        SubmitJob(input={}),
        JobStatus("j"),
        CancelJob("j"),
        RetryJob("j"),
        CheckEndpoint(),
    ),
    ElevenLabs: (Speak(text="x", voice="v"), StreamSpeech(text="x", voice="v"), ListVoices()),
    Supabase: (
        SelectRows(table="t"),
        InsertRows(table="t", rows=_ROWS),
        UpsertRows(table="t", rows=_ROWS),
        UpdateRows(table="t", values={"a": 1}, where=_ONE),
        DeleteRows(table="t", where=_ONE),
        CallFunction(function="f"),
    ),
    SupabaseStorage: (
        UploadFile(bucket="b", path="p", data=b"x"),
        DownloadFile(bucket="b", path="p"),
        ListFiles(bucket="b"),
        RemoveFiles(bucket="b", paths=("p",)),
        SignFile(bucket="b", path="p"),
    ),
}
