"""Programs that are disturbed while they run."""

import asyncio
from pathlib import Path

import flyte

env = flyte.TaskEnvironment(name="robust")
kept = flyte.TaskEnvironment(name="robust-kept", reusable=flyte.ReusePolicy(replicas=8, idle_ttl=60))


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


@kept.task
async def nothing_kept(x: int) -> int:
    return x


wide_env = flyte.TaskEnvironment(name="robust-wide", depends_on=[kept])


@wide_env.task
async def wide_kept(n: int) -> int:
    return sum(await asyncio.gather(*[nothing_kept(i) for i in range(n)]))
