"""What ElevenLabs is asked, and what it answers."""

from collections.abc import Mapping

import msgspec

from ...runtime import Request, StreamRequest
from .._usage import Usage

DEFAULT_MODEL = "eleven_multilingual_v2"


class Speech(msgspec.Struct, frozen=True, kw_only=True):
    """Hold a text as it is spoken."""

    audio: bytes
    content_type: str
    """``audio/mpeg`` for MP3."""
    request_id: str
    """ElevenLabs' own, for its support."""
    usage: Usage
    """Characters as they were billed, and what they cost."""


class Speak(Request[Speech], frozen=True, kw_only=True):
    """Have a text spoken."""

    text: str
    voice: str
    """Id of the voice, not its name: see `ListVoices`."""
    model: str = DEFAULT_MODEL
    output_format: str = "mp3_44100_128"
    """Codec, sample rate and bit rate, as the API names them."""
    settings: Mapping[str, object] = {}
    """How the voice is to sound (``stability``, ``similarity_boost``, ``speed``); empty: its own."""
    extra: Mapping[str, object] = {}
    """More fields of the request, as the API names them; they win over the ones above."""


class SpeechChunk(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the next piece of a text as it is spoken."""

    audio: bytes
    """Empty in the last one."""
    content_type: str
    usage: Usage | None = None
    """In the last one: characters as they were billed, and what they cost."""


class StreamSpeech(StreamRequest[SpeechChunk], frozen=True, kw_only=True):
    """Have a text spoken, and hear it while it is made."""

    text: str
    voice: str
    """Id of the voice, not its name: see `ListVoices`."""
    model: str = DEFAULT_MODEL
    output_format: str = "mp3_44100_128"
    """Codec, sample rate and bit rate, as the API names them."""
    settings: Mapping[str, object] = {}
    """How the voice is to sound (``stability``, ``similarity_boost``, ``speed``); empty: its own."""
    extra: Mapping[str, object] = {}
    """More fields of the request, as the API names them; they win over the ones above."""


class Voice(msgspec.Struct, frozen=True, kw_only=True, rename={"id": "voice_id"}):
    """Describe a voice."""

    id: str
    name: str = ""
    category: str | None = None
    description: str | None = None
    labels: Mapping[str, str] | None = None
    preview_url: str | None = None


class ListVoices(Request[tuple[Voice, ...]], frozen=True):
    """List the voices of the account."""
