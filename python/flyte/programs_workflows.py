"""Programs that start workflows."""

import asyncio
from pathlib import Path

import flyte
import flyte.errors
import flyte.remote

env = flyte.TaskEnvironment(name="starts")


@env.task
async def starts_one(name: str) -> str:
    run = await flyte.run.aio(flyte.remote.Task.get("greet", auto_version="latest"), name=name, factor=2)
    await run.wait.aio(quiet=True)
    return f"{run.name} {run.phase.value}"


def named(name: str):
    return flyte.remote.Task.get(name, auto_version="latest")


@env.task
async def child(x: int) -> int:
    return x + 1


@env.task
async def asks_for_one(name: str) -> dict:
    """Workflows beside a task, as actions of this run."""
    one, two, x = await asyncio.gather(named("greet")(name=name, factor=2), named("greet")(name="eva", factor=5), child(1))
    return {"one": one, "two": two, "x": x}


@env.task
async def asks_then_needs(mark: str) -> dict:
    given = await named("greet")(name="ada", factor=2)
    if not Path(mark).exists():
        raise ValueError("not yet")
    return given


@env.task
async def goes_on_without() -> str:
    """One that breaks is this program's business."""
    try:
        await named("breaks")()
    except flyte.errors.RuntimeUserError as error:
        return f"{type(error).__name__}: {error}; and {await child(1)}"
    return "nothing broke"


@env.task
async def asks_wrongly() -> str:
    try:
        await named("greet")(name="ada", factor="three")
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "nothing was wrong"


@env.task
async def waits_for_one(seconds: float) -> dict:
    return await named("sleeps")(seconds=seconds)
