"""Programs that fail until a file is there, and say when each part of them ran."""

import asyncio
import time
from pathlib import Path

import flyte
import flyte.errors

env = flyte.TaskEnvironment(name="recovering")


@env.task
async def stamp(x: int) -> float:
    """When it ran."""
    return time.time() + 0 * x


@flyte.trace
async def step(x: int) -> float:
    return time.time() + 0 * x


@env.task
async def needs(mark: str) -> float:
    if not Path(mark).exists():
        raise ValueError(f"there is no {mark}")
    return time.time()


@env.task
async def whole(mark: str, x: int = 1) -> list[float]:
    one, two = await asyncio.gather(stamp(1), stamp(2))
    own = await step(3)
    return [one, two, own, await needs(mark), 0.0 * x]


@env.task
async def single(x: int) -> float:
    return time.time() + 0 * x
