"""The script writer makes the scenes of a video out of a story's outline. Written by hand."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from typing import Any

import httpx2

logger = logging.getLogger(__name__)

MODEL = "gpt-4o-mini"
MAX_RETRIES = 5
INITIAL_DELAY = 1.0
MAX_DELAY = 60.0
TIMEOUT = 60.0
VALIDATION_RETRIES = 3
RETRYABLE = {408, 409, 429, 500, 502, 503, 504}


class ScriptError(Exception):
    """The script could not be written."""


class ScriptWriter:
    def __init__(self, base_url: str, key: str, *, initial_delay: float = INITIAL_DELAY) -> None:
        self.base_url = base_url
        self.key = key
        self.initial_delay = initial_delay
        self.client = httpx2.AsyncClient(timeout=TIMEOUT)

    async def close(self) -> None:
        await self.client.aclose()

    async def write(self, outline: str, scenes: int) -> list[str]:
        messages = [
            {
                "role": "user",
                "content": f"Answer with a JSON list of {scenes} strings and nothing else: what the camera "
                f"sees in each scene of this story, in one sentence.\n\n{outline}",
            }
        ]
        last_error = ""
        for attempt in range(VALIDATION_RETRIES):
            text = await self._complete(messages)
            try:
                return self._parse(text, scenes)
            except ValueError as error:
                last_error = str(error)
                logger.warning("script invalid (attempt %d): %s", attempt + 1, last_error)
                messages.append({"role": "assistant", "content": text})
                messages.append(
                    {
                        "role": "user",
                        "content": f"That is no JSON list of {scenes} strings: {last_error}. Try again.",
                    }
                )
        raise ScriptError(f"no valid script after {VALIDATION_RETRIES} attempts: {last_error}")

    async def _complete(self, messages: list[dict[str, str]]) -> str:
        delay = self.initial_delay
        for attempt in range(1, MAX_RETRIES + 1):
            try:
                response = await self.client.post(
                    f"{self.base_url}/chat/completions",
                    headers={"authorization": f"Bearer {self.key}"},
                    json={"model": MODEL, "messages": messages},
                )
                if response.status_code == 200:
                    body: Any = response.json()
                    return str(body["choices"][0]["message"]["content"])
                if response.status_code not in RETRYABLE or attempt == MAX_RETRIES:
                    raise ScriptError(f"OpenAI said {response.status_code}: {response.text[:200]}")
                wait = delay
                if response.status_code == 429:
                    wait = self._retry_after(response, delay)
                logger.warning("OpenAI said %d, retrying in %.1f s", response.status_code, wait)
            except (httpx2.TimeoutException, httpx2.TransportError, json.JSONDecodeError) as error:
                if attempt == MAX_RETRIES:
                    raise ScriptError(f"OpenAI failed: {error!r}") from error
                wait = delay
                logger.warning("OpenAI failed (%r), retrying in %.1f s", error, wait)
            await asyncio.sleep(wait + random.uniform(0, wait * 0.1))
            delay = min(delay * 2, MAX_DELAY)
        raise ScriptError("unreachable")

    def _retry_after(self, response: httpx2.Response, default: float) -> float:
        value = response.headers.get("retry-after")
        if value is None:
            return default
        try:
            return float(value)
        except ValueError:
            return default

    def _parse(self, text: str, scenes: int) -> list[str]:
        text = text.strip()
        if text.startswith("```"):
            text = text.split("\n", 1)[-1].rsplit("```", 1)[0]
        found: list[Any] = json.loads(text)
        if len(found) != scenes:
            raise ValueError(f"{len(found)} scenes instead of {scenes}")
        for scene in found:
            if not isinstance(scene, str):
                raise ValueError("not a list of strings")
        return found
