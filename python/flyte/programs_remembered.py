"""Programs whose results are remembered, and programs that are repeated with pauses."""

import asyncio
import os
import uuid
from datetime import timedelta
from pathlib import Path

import flyte

env = flyte.TaskEnvironment(name="remembered")
ONCE = flyte.Cache(behavior="override", version_override="1")


@env.task(cache=ONCE)
async def makes(x: int) -> str:
    """Another text each time that it runs."""
    return f"{x} {uuid.uuid4()}"


@env.task
async def asks_for(x: int) -> list[str]:
    return [await makes(x), await makes(x)]


@env.task(cache=flyte.Cache(behavior="override", version_override="1", serialize=True))
async def makes_alone(x: int, folder: str) -> str:
    with open(Path(folder) / "marks", "a") as marks:
        marks.write(f"{x}\n")
    await asyncio.sleep(1)
    return f"{x} {uuid.uuid4()}"


@env.task(cache=ONCE)
async def breaks(x: int) -> str:
    raise ValueError(f"{x} {uuid.uuid4()}")


def attempt() -> int:
    return int(os.environ["FLYTE_ATTEMPT_NUMBER"])


BACKOFF = flyte.Backoff(base=timedelta(seconds=1), factor=2.0, cap=timedelta(seconds=60))


@env.task(retries=flyte.RetryStrategy(count=2, backoff=BACKOFF))
async def is_repeated_later() -> int:
    if attempt() < 2:
        raise ValueError(f"attempt {attempt()}")
    return attempt()


@env.task(retries=2)
async def is_repeated_at_once() -> int:
    if attempt() < 2:
        raise ValueError(f"attempt {attempt()}")
    return attempt()
