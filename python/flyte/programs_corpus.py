"""What the examples of the SDK do beyond the other programs here, written from their behaviour: nothing of it is copied."""

import asyncio
import os
from pathlib import Path
from typing import Union

import flyte
import flyte.errors
from flyte.io import File

env = flyte.TaskEnvironment(name="corpus")
small = flyte.TaskEnvironment(name="small", resources=flyte.Resources(memory="200Mi"))


@env.task
async def leaf(x: int) -> int:
    return x + 1


@env.task
async def same_names(n: int) -> list[int]:
    """Names of actions come from what is called with what: every run has the same."""
    return list(await asyncio.gather(*[leaf(x) for x in range(n)]))


@env.task
async def in_groups(n: int) -> int:
    total = 0
    for name in ("first", "second"):
        with flyte.group(name):
            total += sum(await asyncio.gather(*[leaf(x) for x in range(n)]))
    return total


@env.task
async def context_of_child() -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(flyte.get_custom_context().items()))


@env.task
async def contexts() -> list[str]:
    found = [await context_of_child()]
    with flyte.custom_context(step="inner"):
        found.append(await context_of_child())
    return found


@env.task
async def either(value: Union[int, str, list[int]]) -> Union[str, int]:
    return f"{type(value).__name__}" if not isinstance(value, int) else value


@env.task
async def overwrites() -> str:
    """A file at an address that is known beforehand, written twice."""
    here = Path("x.txt")
    here.write_text("one")
    first = await File.from_local(here)
    here.write_text("two")
    again = await File.from_local(here, first.path)
    async with again.open("rb") as stream:
        return f"{first.path == again.path} {bytes(await stream.read()).decode()}"


@env.task
async def streams() -> str:
    file = File.new_remote()
    async with file.open("wb") as stream:
        await stream.write(b"by the stream")
    async with file.open("rb") as stream:
        return bytes(await stream.read()).decode()


@flyte.trace
def sync_step(x: int) -> int:
    return x * 2


@env.task
def sync_traces(n: int) -> int:
    return sum(sync_step(x) for x in range(n))


@flyte.trace
async def step(x: int) -> int:
    return x


@env.task
async def traces_at_once(n: int) -> int:
    return sum(await asyncio.gather(*[step(x) for x in range(n)]))


@env.task
async def crashes(x: int) -> int:
    os._exit(17)


@env.task
async def crashing(n: int) -> int:
    """How many of the children were noticed to have ended."""
    ended = await asyncio.gather(*[crashes(x) for x in range(n)], return_exceptions=True)
    return sum(isinstance(error, flyte.errors.BaseRuntimeError) for error in ended)


@small.task
async def needs_memory(mebibytes: int) -> int:
    held = bytearray(os.urandom(1 << 20)) * mebibytes
    await asyncio.sleep(5)
    return len(held) >> 20


env_oom = flyte.TaskEnvironment(name="oom", depends_on=[small])


@env_oom.task
async def more_after_oom() -> str:
    try:
        await needs_memory(600)
    except flyte.errors.OOMError as error:
        found = await needs_memory.override(resources=flyte.Resources(memory="1500Mi"))(600)
        return f"{error.code} {found}"
    return "it had enough"


@env.task(cache=flyte.Cache("override", version_override="1", serialize=True))
async def one_at_a_time(x: int, folder: str) -> int:
    await asyncio.sleep(1)
    with open(Path(folder) / "ran", "a") as ran:
        ran.write("x")
    return x


@env.task
async def says_things() -> int:
    flyte.logger.warning("a word of the logger of the SDK")
    print("a word of the program")
    return 1


@env.task
async def twice_at_once(folder: str) -> list[int]:
    return list(await asyncio.gather(*[one_at_a_time(5, folder) for _ in range(3)]))


@env.task(short_name="count-to-three")
async def with_a_short_name() -> int:
    return 3


@env.task
async def renames_a_child() -> int:
    return await with_a_short_name() + await with_a_short_name.override(short_name="again")()
