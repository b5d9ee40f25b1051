"""The image generator draws a picture for each scene. Written by hand."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import random
from typing import Any

import httpx2

logger = logging.getLogger(__name__)

MODEL = "gpt-image-1-mini"
MAX_RETRIES = 5
INITIAL_DELAY = 1.0
MAX_DELAY = 60.0
TIMEOUT = 120.0
BATCH_RETRIES = 3
MAX_CONCURRENT = 4
RETRYABLE = {408, 409, 429, 500, 502, 503, 504}


class ImageError(Exception):
    """A picture could not be drawn."""


class ImageGenerator:
    def __init__(self, base_url: str, key: str, *, initial_delay: float = INITIAL_DELAY) -> None:
        self.base_url = base_url
        self.key = key
        self.initial_delay = initial_delay
        self.client = httpx2.AsyncClient(timeout=TIMEOUT)
        self.semaphore = asyncio.Semaphore(MAX_CONCURRENT)

    async def close(self) -> None:
        await self.client.aclose()

    async def draw_all(self, scenes: list[str]) -> list[bytes]:
        delay = self.initial_delay
        for attempt in range(1, BATCH_RETRIES + 1):
            try:
                return await asyncio.gather(*(self._draw(scene) for scene in scenes))
            except ImageError as error:
                if attempt == BATCH_RETRIES:
                    raise
                logger.warning("batch failed (%s), starting over in %.1f s", error, delay)
                await asyncio.sleep(delay)
                delay = min(delay * 2, MAX_DELAY)
        raise ImageError("unreachable")

    async def _draw(self, scene: str) -> bytes:
        delay = self.initial_delay
        async with self.semaphore:
            for attempt in range(1, MAX_RETRIES + 1):
                try:
                    response = await self.client.post(
                        f"{self.base_url}/images/generations",
                        headers={"authorization": f"Bearer {self.key}"},
                        json={"model": MODEL, "prompt": scene},
                    )
                    if response.status_code == 200:
                        body: Any = response.json()
                        return base64.b64decode(body["data"][0]["b64_json"])
                    if response.status_code not in RETRYABLE or attempt == MAX_RETRIES:
                        raise ImageError(f"OpenAI said {response.status_code}: {response.text[:200]}")
                    wait = delay
                    if response.status_code == 429:
                        wait = self._retry_after(response, delay)
                    logger.warning("OpenAI said %d, retrying in %.1f s", response.status_code, wait)
                except (httpx2.TimeoutException, httpx2.TransportError, json.JSONDecodeError) as error:
                    if attempt == MAX_RETRIES:
                        raise ImageError(f"OpenAI failed: {error!r}") from error
                    wait = delay
                    logger.warning("OpenAI failed (%r), retrying in %.1f s", error, wait)
                await asyncio.sleep(wait + random.uniform(0, wait * 0.1))
                delay = min(delay * 2, MAX_DELAY)
        raise ImageError("unreachable")

    def _retry_after(self, response: httpx2.Response, default: float) -> float:
        value = response.headers.get("retry-after")
        if value is None:
            return default
        try:
            return float(value)
        except ValueError:
            return default
