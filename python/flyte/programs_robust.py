"""Programs that are disturbed while they run."""

import asyncio
from pathlib import Path

import flyte

env = flyte.TaskEnvironment(name="robust")


@env.task
async def leaves_a_mark(x: int, folder: str) -> int:
    await asyncio.sleep(2)
    with open(Path(folder) / "marks", "a") as marks:
        marks.write(f"{x}\n")
    return x


@env.task
async def many(n: int, folder: str) -> int:
    return sum(await asyncio.gather(*[leaves_a_mark(i, folder) for i in range(n)]))


@env.task
async def nothing(x: int) -> int:
    return x


@env.task
async def wide(n: int) -> int:
    return sum(await asyncio.gather(*[nothing(i) for i in range(n)]))
