"""What a child task costs its parent, from the call to the result, by how its process begins:

TUTTI_BIN=…/tutti VENV/bin/python speed.py [ROUNDS]

The clock is the parent's own. Everything but the way the process begins is the same.
"""

import asyncio
import sys
import time

import flyte

forked = flyte.TaskEnvironment(name="forked")
# A variable of this kind has to be there before Python is: such tasks are started from nothing.
cold = flyte.TaskEnvironment(name="cold", env_vars={"PYTHONHASHSEED": "7"})
kept = flyte.TaskEnvironment(name="kept", reusable=flyte.ReusePolicy(replicas=16, idle_ttl=60))
driver = flyte.TaskEnvironment(name="driver", depends_on=[forked, cold, kept])


@forked.task
async def in_forked(x: int) -> int:
    return x


@cold.task
async def in_cold(x: int) -> int:
    return x


@kept.task
async def in_kept(x: int) -> int:
    return x


TASKS = {"cold": in_cold, "forked": in_forked, "kept": in_kept}


@driver.task
async def one_by_one(how: str, n: int) -> list[float]:
    seconds = []
    for i in range(n):
        began = time.perf_counter()
        await TASKS[how](i)
        seconds.append(time.perf_counter() - began)
    return seconds


@driver.task
async def at_once(how: str, n: int) -> float:
    began = time.perf_counter()
    await asyncio.gather(*[TASKS[how](i) for i in range(n)])
    return time.perf_counter() - began


def main(rounds):
    import rig

    server = rig.Server()
    server.start()
    try:
        rig.connect(server)
        for how in TASKS:
            # The first has to load the code, or the SDK.
            seconds = sorted(rig.output(one_by_one, how=how, n=rounds + 1)[1:])
            print(f"{how}: one child, median of {rounds}: {seconds[rounds // 2] * 1000:.0f} ms, slowest {seconds[-1] * 1000:.0f} ms")
            rig.output(at_once, how=how, n=10)
            print(f"{how}: 10 children at once: {rig.output(at_once, how=how, n=10):.2f} s", flush=True)
    finally:
        server.stop()


if __name__ == "__main__":
    # Tasks are found again by the name of their module, which is not that of a program that is run.
    import speed

    speed.main(int(sys.argv[1]) if sys.argv[1:] else 10)
