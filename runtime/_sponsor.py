"""Sponsor: on whose behalf calls are made, through however many actors."""

from __future__ import annotations

from typing import Protocol


class Sponsor(Protocol):
    """Hand out idempotency keys to the calls made on one's behalf, and hear what became of them.

    An ask made while a request is in hand inherits that request's sponsor, so calls that an agent makes
    for a step of a job are the step's. Guarded actors alone ask it anything.
    """

    def next_key(self) -> str:
        """Return the key of the next call: the same in every run that makes the same calls in order."""
        ...

    def call_ended(self, attempts: int, reply: object) -> None:
        """Hear that a call has ended after so many attempts.

        Args:
            attempts: How many.
            reply: What was replied; of a stream its last part, or what came before it broke. None: nothing.
        """
        ...
