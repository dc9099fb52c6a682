"""Programs that start workflows."""

import flyte
import flyte.remote

env = flyte.TaskEnvironment(name="starts")


@env.task
async def starts_one(name: str) -> str:
    run = await flyte.run.aio(flyte.remote.Task.get("greet", auto_version="latest"), name=name, factor=2)
    await run.wait.aio(quiet=True)
    return f"{run.name} {run.phase.value}"


@env.task
async def asks_for_one(name: str) -> dict:
    return await flyte.remote.Task.get("greet", auto_version="latest")(name=name, factor=2)
