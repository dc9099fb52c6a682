"""What tasks cost a program, by how their processes begin, beside the SDK's own local mode:

TUTTI_BIN=…/tutti VENV/bin/python speed.py [--rounds N] [--json]

Times are the parent's own, from the call of a child that does nothing to its result. Everything but the way the process begins is the same.
With --json a line for each measurement says its name and its figures.
"""

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path

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


@forked.task
async def sleeps(seconds: float) -> int:
    await asyncio.sleep(seconds)
    return 1


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
async def at_once(how: str, n: int, first: int) -> float:
    began = time.perf_counter()
    await asyncio.gather(*[TASKS[how](first + i) for i in range(n)])
    return time.perf_counter() - began


@driver.task
async def waits() -> dict[str, float]:
    """What this process holds in memory while it waits for a child: all of it, and its share of what it has in common with others."""
    child = asyncio.create_task(sleeps(4.0))
    await asyncio.sleep(2)
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    held = {line.split(":")[0]: float(line.split()[1]) / 1024 for line in lines if line.startswith(("Rss:", "Pss:"))}
    await child
    return {"rss_mib": held["Rss"], "own_mib": held["Pss"]}


def tell(name, figures, as_json):
    if as_json:
        print(json.dumps({"name": name, "figures": figures}), flush=True)
    else:
        print(f"{name}: " + ", ".join(f"{key} {value:.3g}" for key, value in figures.items()), flush=True)


def measure(how, output, rounds):
    """One child after another, ten at once, and what the slowest took."""
    # The first has to load the code, or the SDK.
    seconds = sorted(output(one_by_one, how=how, n=rounds + 1)[1:])
    output(at_once, how=how, n=10, first=0)
    ten = sorted(output(at_once, how=how, n=10, first=100 * (i + 1)) for i in range(3))[1]
    return {"one_ms": seconds[rounds // 2] * 1e3, "one_slowest_ms": seconds[-1] * 1e3, "ten_ms": ten * 1e3}


def many(how, output, figures):
    """Five hundred children of one parent."""
    seconds = output(at_once, how=how, n=500, first=1000)
    return {**figures, "five_hundred_s": seconds, "actions_per_s": 500 / seconds}


def thousands(how, output, figures):
    """Five thousand children of one parent, and how much longer each took than one of five hundred did."""
    seconds = output(at_once, how=how, n=5_000, first=10_000)
    return {**figures, "five_thousand_s": seconds, "growth": seconds / 10 / figures["five_hundred_s"]}


def local(task, **inputs):
    return flyte.with_runcontext(mode="local").run(task, **inputs).outputs()[0]


def main(options):
    import rig

    server = rig.Server()
    server.start()
    try:
        rig.connect(server)
        for how in TASKS:
            figures = measure(how, rig.output, options.rounds)
            # Five hundred interpreters from nothing would say the same for minutes.
            if how != "cold":
                figures = many(how, rig.output, figures)
            # In processes that are forked each it would take ten times as long, and say the same of the server.
            tell(f"flyte {how}", thousands(how, rig.output, figures) if how == "kept" else figures, options.json)
        tell("flyte waiting parent", rig.output(waits), options.json)
        # The first of a local run makes what the others use.
        local(one_by_one, how="forked", n=1)
        tell("flyte local mode of the SDK", many("forked", local, measure("forked", local, options.rounds)), options.json)
    finally:
        server.stop()


if __name__ == "__main__":
    # Tasks are found again by the name of their module, which is not that of a program that is run.
    import speed

    parser = argparse.ArgumentParser(description=sys.modules["speed"].__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    speed.main(parser.parse_args())
