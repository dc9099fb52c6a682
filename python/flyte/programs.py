"""Programs of the Flyte SDK that the acceptance tests run on a real server."""

import asyncio
import os
import subprocess
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import flyte
import flyte.errors
from flyte.io import Dir, File

env = flyte.TaskEnvironment(name="acceptance")


@env.task
async def square(x: int) -> int:
    print(f"squaring {x}")
    return x * x


@env.task
async def fan_out(n: int) -> list[int]:
    with flyte.group("squares"):
        return list(await asyncio.gather(*[square(i) for i in range(n)]))


@env.task
def double(x: int) -> int:
    return 2 * x


@env.task
def mapped(n: int) -> list[int]:
    return [value for value in flyte.map(double, range(n))]


@dataclass
class Point:
    x: int
    y: float


@env.task
async def shift(p: Point, by: float = 1.5) -> Point:
    return Point(x=p.x + 1, y=p.y + by)


@env.task
async def nested(x: int) -> int:
    return await square(x) + (await fan_out(2))[1]


@env.task(retries=3)
async def flaky() -> int:
    attempt = int(os.environ["FLYTE_ATTEMPT_NUMBER"])
    if attempt < 2:
        raise ValueError(f"attempt {attempt}")
    return attempt


@env.task(retries=3)
async def hopeless() -> int:
    raise flyte.errors.NonRecoverableError("never")


@env.task
async def failing() -> int:
    raise ValueError("on purpose")


@env.task
async def catches() -> str:
    try:
        await failing()
    except flyte.errors.RuntimeUserError as error:
        return f"{error.code}: {error}"
    return "nothing"


@env.task(timeout=timedelta(seconds=4))
async def slow() -> int:
    await asyncio.sleep(300)
    return 1


@env.task
async def catches_timeout() -> str:
    try:
        await slow()
    except flyte.errors.TaskTimeoutError as error:
        return type(error).__name__
    return "nothing"


@env.task
async def sleeps() -> int:
    await asyncio.sleep(300)
    return 1


@env.task
async def waits_for_sleepers() -> int:
    return sum(await asyncio.gather(sleeps(), sleeps()))


@env.task
async def gives_up() -> str:
    sleeper = asyncio.create_task(sleeps())
    await square(1)
    sleeper.cancel()
    try:
        await sleeper
    except asyncio.CancelledError:
        return "gave up"
    return "waited"


@env.task(cache=flyte.Cache(behavior="override", version_override="1"))
async def remembered(x: int) -> float:
    return time.time()


@env.task
async def twice(x: int) -> list[float]:
    return [await remembered(x), await remembered(x)]


@flyte.trace
async def step(x: int) -> int:
    return x + 1


@env.task
async def traced(n: int) -> int:
    total = 0
    for i in range(n):
        total += await step(i)
    return total


@env.task
async def make_file(text: str) -> File:
    path = Path("made.txt")
    path.write_text(text)
    return await File.from_local(str(path))


@env.task
async def make_dir(n: int) -> Dir:
    folder = Path("made")
    folder.mkdir()
    for i in range(n):
        (folder / f"{i}.txt").write_text(str(i))
    return await Dir.from_local(str(folder))


@env.task
async def files(text: str) -> list[str]:
    file = await make_file(text)
    async with file.open("rb") as stream:
        found = [bytes(await stream.read()).decode()]
    folder = await make_dir(3)
    async for part in folder.walk():
        async with part.open("rb") as stream:
            found.append(bytes(await stream.read()).decode())
    return sorted(found)


@env.task
async def large(megabytes: int) -> int:
    path = Path("large.bin")
    path.write_bytes(b"x" * (megabytes << 20))
    file = await File.from_local(str(path))
    async with file.open("rb") as stream:
        return len(bytes(await stream.read()))


@env.task
async def asks() -> str:
    condition = await flyte.new_condition.aio("approve", prompt="May it?", data_type=bool)
    return f"answered {await condition.wait.aio()}"


@env.task
async def waits_long(n: int) -> list[int]:
    async def one(i: int) -> int:
        return await lingers(i)

    return list(await asyncio.gather(*[one(i) for i in range(n)]))


@env.task
async def lingers(x: int) -> int:
    await asyncio.sleep(3)
    return x


other = flyte.TaskEnvironment(name="elsewhere", image=flyte.Image.from_base("team/nowhere:1"))


@other.task
async def nowhere() -> int:
    return 1


warm = flyte.TaskEnvironment(name="warm", reusable=flyte.ReusePolicy(replicas=4, idle_ttl=60))


@warm.task
async def who(x: int) -> str:
    """The process that it runs in, and what that knows of the action."""
    print(f"warm {x}")
    ctx = flyte.ctx()
    return f"{os.getpid()} {ctx.action.name} {os.environ['ACTION_NAME']}"


@warm.task
async def one_after_another(n: int) -> list[str]:
    return [await who(i) for i in range(n)]


@warm.task
async def breaks(x: int) -> int:
    raise ValueError(f"warm {x}")


@warm.task
async def ends_its_process(x: int) -> int:
    os._exit(3)


@warm.task
async def lingers_warm(x: int) -> int:
    await asyncio.sleep(3)
    return x


@warm.task
async def waits_warm(n: int) -> list[int]:
    return list(await asyncio.gather(*[lingers_warm(i) for i in range(n)]))


@warm.task
async def sleeps_warm() -> str:
    Path("ready").touch()
    subprocess.Popen(["sleep", "300"])
    await asyncio.sleep(300)
    return "slept"


@env.task
async def pid() -> str:
    return f"{os.getpid()} {Path('/proc/self/cmdline').read_text()}"


cold = flyte.TaskEnvironment(name="cold", env_vars={"PYTHONHASHSEED": "7"})


@cold.task
async def started_cold() -> str:
    return f"{os.environ['PYTHONHASHSEED']} {hash('tutti')}"
