"""What the command line of the SDK is tried with."""

import asyncio
import os
import tempfile
from pathlib import Path

import flyte

env = flyte.TaskEnvironment(name="shell")


@env.task
async def square(x: int) -> int:
    print(f"squaring {x}")
    return x * x


@env.task
async def main(n: int = 2) -> int:
    print(f"summing {n}")
    return sum(await asyncio.gather(*(square(x) for x in range(1, n + 1))))


@env.task
async def waits() -> int:
    await asyncio.gather(*(sleeps(x) for x in range(2)))
    return 0


@env.task
async def sleeps(x: int) -> int:
    await asyncio.sleep(600)
    return x


@env.task
async def flavour() -> str:
    return os.environ.get("FLAVOUR", "none")


@env.task
async def counts_those_beside(n: int) -> int:
    """The most children that were at work at once, as they saw it."""
    with tempfile.TemporaryDirectory(dir=os.environ["TUTTI_SITE_FILES"]) as folder:
        return max(await asyncio.gather(*(is_there(folder, x) for x in range(n))))


@env.task
async def is_there(folder: str, x: int) -> int:
    mark = Path(folder) / str(x)
    mark.touch()
    seen = []
    for _ in range(10):
        seen.append(len(list(Path(folder).iterdir())))
        await asyncio.sleep(0.1)
    mark.unlink()
    return max(seen)


@env.task
async def asks() -> str:
    condition = await flyte.new_condition.aio("name", prompt="Who is it?", data_type=str)
    return f"it is {await condition.wait.aio()}"
