"""The voice speaks the narration, a line for each scene. Written by hand."""

from __future__ import annotations

import asyncio
import logging
import random

import httpx2

logger = logging.getLogger(__name__)

VOICE = "JBFqnCBsd6RMkjVDRZzb"
MODEL = "eleven_multilingual_v2"
MAX_RETRIES = 5
INITIAL_DELAY = 1.0
MAX_DELAY = 60.0
TIMEOUT = 60.0
MAX_CONCURRENT = 4
RETRYABLE = {408, 409, 429, 500, 502, 503, 504}


class VoiceError(Exception):
    """A line could not be spoken."""


class Narrator:
    def __init__(self, base_url: str, key: str, *, initial_delay: float = INITIAL_DELAY) -> None:
        self.base_url = base_url
        self.key = key
        self.initial_delay = initial_delay
        self.client = httpx2.AsyncClient(timeout=TIMEOUT)
        self.semaphore = asyncio.Semaphore(MAX_CONCURRENT)

    async def close(self) -> None:
        await self.client.aclose()

    async def speak_all(self, lines: list[str]) -> list[bytes]:
        return await asyncio.gather(*(self._speak(line) for line in lines))

    async def _speak(self, line: str) -> bytes:
        delay = self.initial_delay
        async with self.semaphore:
            for attempt in range(1, MAX_RETRIES + 1):
                try:
                    response = await self.client.post(
                        f"{self.base_url}/v1/text-to-speech/{VOICE}",
                        headers={"xi-api-key": self.key},
                        json={"text": line, "model_id": MODEL},
                    )
                    if response.status_code == 200:
                        if not response.headers.get("content-type", "").startswith("audio/"):
                            raise VoiceError("the answer holds no audio")
                        return response.content
                    if response.status_code not in RETRYABLE or attempt == MAX_RETRIES:
                        raise VoiceError(f"ElevenLabs said {response.status_code}: {response.text[:200]}")
                    wait = delay
                    if response.status_code == 429:
                        wait = self._retry_after(response, delay)
                    logger.warning("ElevenLabs said %d, retrying in %.1f s", response.status_code, wait)
                except (httpx2.TimeoutException, httpx2.TransportError) as error:
                    if attempt == MAX_RETRIES:
                        raise VoiceError(f"ElevenLabs failed: {error!r}") from error
                    wait = delay
                    logger.warning("ElevenLabs failed (%r), retrying in %.1f s", error, wait)
                await asyncio.sleep(wait + random.uniform(0, wait * 0.1))
                delay = min(delay * 2, MAX_DELAY)
        raise VoiceError("unreachable")

    def _retry_after(self, response: httpx2.Response, default: float) -> float:
        value = response.headers.get("retry-after")
        if value is None:
            return default
        try:
            return float(value)
        except ValueError:
            return default
