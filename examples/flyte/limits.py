"""A program of the Flyte 2 SDK, as it would run anywhere: how much credit each segment of customers can be given.

$ tutti up
$ python examples/flyte/limits.py
"""

import asyncio
import os
import random
from pathlib import Path

import flyte

env = flyte.TaskEnvironment(name="limits")

SEGMENTS = ("students", "families", "seniors", "self-employed")


@env.task
async def expected_loss(segment: str, limit: int) -> float:
    """The mean loss of a thousand customers with this limit, by simulation."""
    chance = random.Random(f"{segment} {limit}")
    default = 0.01 + 0.015 * SEGMENTS.index(segment)
    losses = [limit * chance.uniform(0.3, 0.9) if chance.random() < default else 0.0 for _ in range(1000)]
    return sum(losses) / len(losses)


@env.task
async def largest_limit(segment: str, bearable: float) -> int:
    """The largest limit whose expected loss is bearable. The candidates are looked at side by side."""
    candidates = (500, 1000, 2000, 4000)
    losses = await asyncio.gather(*[expected_loss(segment, limit) for limit in candidates])
    return max((limit for limit, loss in zip(candidates, losses) if loss <= bearable), default=0)


@env.task
async def limits(bearable: float = 40.0) -> dict[str, int]:
    found = await asyncio.gather(*[largest_limit(segment, bearable) for segment in SEGMENTS])
    return dict(zip(SEGMENTS, found))


if __name__ == "__main__":
    flyte.init(
        endpoint=os.environ.get("TUTTI_SERVER", "http://127.0.0.1:7200").replace("http://", "dns:///"),
        insecure=True,
        org="tutti",
        project="bank",
        domain="development",
        root_dir=Path(__file__).resolve().parent,
    )
    run = flyte.with_runcontext(disable_run_cache=True).run(limits)
    run.wait(quiet=True)
    print(run.name)
