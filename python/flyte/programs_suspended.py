"""Programs that wait for people for long, and are begun again with the answer."""

import asyncio
import os
from datetime import timedelta
from pathlib import Path

import flyte
import flyte.errors
import flyteplugins.hitl as hitl

SOON = {"TUTTI_SUSPEND_AFTER": "1s"}
patient = flyte.TaskEnvironment(name="patient", env_vars=SOON, depends_on=[hitl.env])
keeping = flyte.TaskEnvironment(name="keeping", env_vars={"TUTTI_SUSPEND_AFTER": "never"})
mistaken = flyte.TaskEnvironment(name="mistaken", env_vars={"TUTTI_SUSPEND_AFTER": "soon"})


def mark(folder: str, what: str):
    with open(Path(folder) / "marks", "a") as marks:
        marks.write(f"{what}\n")


def attempt() -> int:
    return int(os.environ["FLYTE_ATTEMPT_NUMBER"]) + 1


@patient.task
async def prepares(x: int, folder: str) -> int:
    mark(folder, "prepared")
    return 2 * x


@flyte.trace
async def steps(folder: str) -> int:
    mark(folder, "stepped")
    return 5


@patient.task
async def waits(folder: str) -> list[int]:
    mark(folder, "begun")
    prepared, stepped = await prepares(20, folder), await steps(folder)
    condition = await flyte.new_condition.aio("go", prompt="May it?", data_type=int)
    return [prepared, stepped, await condition.wait.aio(), attempt()]


@patient.task
async def asks_below(name: str) -> int:
    return await (await flyte.new_condition.aio(name, prompt=f"{name}?", data_type=int)).wait.aio()


@patient.task
async def waits_below() -> list[int]:
    return [*await asyncio.gather(asks_below("one"), asks_below("two")), attempt()]


@patient.task
async def gives_up() -> list[str]:
    condition = await flyte.new_condition.aio("soon", prompt="Quick?", timeout=timedelta(seconds=40))
    try:
        return [f"answered {await condition.wait.aio()}"]
    except flyte.errors.ConditionTimedoutError:
        return ["nobody answered", str(attempt())]


async def prints_on():
    while True:
        print("still here", flush=True)
        await asyncio.sleep(0.2)


@patient.task
async def prints_meanwhile() -> int:
    printing = asyncio.create_task(prints_on())
    condition = await flyte.new_condition.aio("go", prompt="May it?", data_type=int)
    answer = await condition.wait.aio()
    printing.cancel()
    return answer * attempt()


@keeping.task(retries=2)
async def keeps_its_process() -> int:
    condition = await flyte.new_condition.aio("go", prompt="May it?", data_type=int)
    return await condition.wait.aio() * attempt()


@mistaken.task(retries=3)
async def says_nonsense() -> int:
    return 1


@patient.task
async def asks_with_the_plugin() -> list[int]:
    event = await hitl.new_event.aio("amount", data_type=int, prompt="How many?", poll_interval_seconds=1)
    answer = await event.wait.aio()
    # The same words, and another question.
    event = await hitl.new_event.aio("amount", data_type=int, prompt="How many?", poll_interval_seconds=1)
    return [answer, await event.wait.aio(), attempt()]


@patient.task(retries=1)
async def breaks_after_the_answer() -> list[int]:
    event = await hitl.new_event.aio("amount", data_type=int, prompt="How many?", poll_interval_seconds=1)
    answer = await event.wait.aio()
    if attempt() == 1:
        raise RuntimeError("it breaks once")
    return [answer, attempt()]
