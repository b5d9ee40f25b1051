"""What type checkers know of jobs. Only they read this file."""

from typing import assert_type

from relight.actors.jobs import JobContext, JobFunction, Queue, together
from relight.runtime import Ref, Request


class Paint(Request[bytes], frozen=True):
    scene: str


async def write(title: str, length: int) -> list[str]:
    return [title] * length


def shop_of(title: str, length: int = 1) -> str | None:
    return title if length else None


async def check(queue: Queue, painter: Ref) -> None:
    @queue.job(
        attempts=3,
        unique=lambda title, length: f"{title}/{length}",
        user=lambda title, length: title if length else None,
        limit_key=shop_of,
        limit=2,
    )
    async def comic(job: JobContext, title: str, length: int) -> bytes:
        scenes = await job.step("script", write, title, length)
        assert_type(scenes, list[str])
        assert_type(await job.step("panel", painter.ask, Paint(scenes[0])), bytes)
        assert_type(await job.ask(painter, Paint(scenes[0]), timeout=5.0), bytes)
        assert_type(await job.ask("painter", Paint(scenes[0])), bytes)
        assert_type(await job.enqueue(comic, title, length, name="again"), str)
        assert_type(
            await together(job.ask(painter, Paint("a")), job.step("s", write, "a", 1)),
            tuple[bytes, list[str]],
        )
        many = await together(*(job.ask(painter, Paint(scene), name=scene) for scene in scenes))
        assert_type(many, tuple[bytes, ...])
        return b""

    assert_type(comic, JobFunction[str, int, bytes])

    @queue.job(user=lambda name: name, unique=lambda name: name.upper())
    async def greet(job: JobContext, name: str) -> None: ...

    assert_type(greet, JobFunction[str, None])

    @queue.job(user=lambda name: 5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    async def misled(job: JobContext, name: str) -> None: ...

    assert_type(misled, JobFunction[str, None])

    @queue.every(60.0)
    @queue.job(unique=lambda: "one")
    async def sweep(job: JobContext) -> int:
        return 1

    assert_type(sweep, JobFunction[int])
    id_ = await queue.enqueue(comic, "The Keeper", 3, delay=1.0)
    assert_type(id_, str)
    assert_type(await queue.result_of(comic, id_), bytes)
    await queue.enqueue_many(comic, [("a", 1), ("b", 2)])
