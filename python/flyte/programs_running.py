"""Programs that say where and how long they run, and whom to tell."""

import asyncio
from datetime import timedelta

import flyte
import flyte.errors

env = flyte.TaskEnvironment(name="running")
big = flyte.TaskEnvironment(name="big", queue="big")
nowhere = flyte.TaskEnvironment(name="nowhere", queue="no-site")
unknown = flyte.TaskEnvironment(name="unknown", queue="never-declared")
parent = flyte.TaskEnvironment(name="parent", depends_on=[env, big, nowhere, unknown])


@env.task
async def plain(x: int) -> int:
    return x + 1


@big.task
async def at_big(x: int) -> int:
    return x + 2


@parent.task
async def asks_both() -> int:
    return await plain(1) + await at_big(1)


@unknown.task
async def at_unknown() -> int:
    return 1


@parent.task
async def asks_unknown() -> str:
    try:
        await at_unknown()
    except Exception as error:
        return str(error)
    return "nothing"


@nowhere.task(timeout=flyte.Timeout(max_queued_time=timedelta(seconds=3)))
async def never_placed() -> int:
    return 1


@env.task(timeout=flyte.Timeout(deadline=timedelta(seconds=6)), retries=20)
async def fails_and_fails() -> int:
    await asyncio.sleep(1)
    raise ValueError("again")


@env.task(timeout=flyte.Timeout(deadline=timedelta(seconds=6)), retries=20)
async def takes_for_ever() -> int:
    await asyncio.sleep(300)
    return 1


@env.task(timeout=flyte.Timeout(max_runtime=timedelta(seconds=4)))
async def runs_too_long() -> int:
    await asyncio.sleep(300)
    return 1


@parent.task
async def errors_of_timeouts() -> list[str]:
    async def error_of(task) -> str:
        try:
            await task()
        except flyte.errors.TaskTimeoutError as error:
            return type(error).__name__
        return "nothing"

    tasks = (never_placed, fails_and_fails, takes_for_ever, runs_too_long)
    return list(await asyncio.gather(*[error_of(task) for task in tasks]))


@env.task
async def says_no() -> int:
    raise ValueError('it said "no"')


@env.task
async def waits(seconds: float) -> int:
    print("at work", flush=True)
    await asyncio.sleep(seconds)
    return 1
