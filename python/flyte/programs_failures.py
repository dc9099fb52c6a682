"""Programs whose children go wrong, each in its own way, and programs that go on after they were interrupted."""

import asyncio
import os
import signal
from datetime import timedelta
from pathlib import Path

import flyte
import flyte.errors

env = flyte.TaskEnvironment(name="failures")
little = flyte.TaskEnvironment(name="little", resources=flyte.Resources(memory="300Mi"))
missing = flyte.TaskEnvironment(name="missing", image=flyte.Image.from_base("team/not-there:1"))
parent = flyte.TaskEnvironment(name="failures-parent", depends_on=[env, little, missing])


@little.task
async def takes_too_much() -> int:
    held = []
    while True:
        held.append(bytearray(os.urandom(1 << 20) * 16))


@env.task(timeout=flyte.Timeout(max_runtime=timedelta(seconds=3)))
async def takes_too_long() -> int:
    await asyncio.sleep(300)
    return 1


@missing.task
async def has_no_image() -> int:
    return 1


@env.task
async def ends_its_process() -> int:
    os._exit(3)


@env.task
async def says_no() -> int:
    raise KeyError("no")


WRONG = [takes_too_much, takes_too_long, has_no_image, ends_its_process, says_no]


@parent.task
async def is_told() -> list[str]:
    async def told(task) -> str:
        try:
            await task()
        except flyte.errors.BaseRuntimeError as error:
            return f"{type(error).__name__} {error.code}"
        return "nothing"

    return list(await asyncio.gather(*[told(task) for task in WRONG]))


def attempt() -> int:
    return int(os.environ["FLYTE_ATTEMPT_NUMBER"])


@env.task
async def loses_its_wrapper(x: int) -> int:
    """What looks after this process is gone, and with it the process: as when a machine is."""
    if attempt() == 0:
        os.kill(os.getppid(), signal.SIGKILL)
        await asyncio.sleep(300)
    return x


@env.task(timeout=flyte.Timeout(deadline=timedelta(seconds=8)))
async def is_lost_again_and_again(x: int) -> int:
    os.kill(os.getppid(), signal.SIGKILL)
    await asyncio.sleep(300)
    return x


@parent.task
async def knows_nothing_of_losses() -> list[str]:
    try:
        await is_lost_again_and_again(1)
    except flyte.errors.TaskTimeoutError as error:
        return [str(await loses_its_wrapper(2)), type(error).__name__]
    return ["nothing"]


@env.task
async def waits_where_it_is(x: int) -> str:
    print("at work", flush=True)
    # The first attempt waits until its site is gone.
    await asyncio.sleep(300 if attempt() == 0 else 0)
    return f"{x} {attempt()} {os.environ['TUTTI_SITE_SIMULATES']}"


@parent.task
async def waits_for_one() -> str:
    return await waits_where_it_is(1)


@env.task
async def sleeps(x: int) -> int:
    await asyncio.sleep(300)
    return x


@env.task
async def quick(x: int) -> int:
    return x


@parent.task
async def loses_one_to_a_person() -> str:
    try:
        await sleeps(1)
    except flyte.errors.ActionAbortedError as error:
        return f"{type(error).__name__}, and {await quick(2)}"
    return "nothing"


@flyte.trace
async def step(x: int, folder: str) -> int:
    with open(Path(folder) / "marks", "a") as marks:
        marks.write(f"{x}\n")
    return x


@env.task(retries=1)
async def takes_steps_and_crashes(folder: str) -> int:
    """Steps that were taken are not taken again."""
    total = 0
    for i in range(3):
        total += await step(i, folder)
    if attempt() == 0:
        os._exit(9)
    return total + await step(3, folder)


@env.task
async def takes_steps_and_waits(folder: str) -> int:
    total = 0
    for i in range(3):
        total += await step(i, folder)
    print("half of it", flush=True)
    while not (Path(folder) / "go").exists():
        await asyncio.sleep(0.1)
    return total + await step(3, folder)
