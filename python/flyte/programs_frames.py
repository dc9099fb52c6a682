"""Programs that pass tables: pandas and pyarrow, typed by columns, remembered by content, and held in memory or by their address alone."""

import hashlib
from typing import Annotated, OrderedDict

import flyte
import flyte.io
import pandas
import pyarrow

env = flyte.TaskEnvironment(name="frames")

Scores = Annotated[flyte.io.DataFrame, OrderedDict(name=str, score=float)]


@env.task
async def makes_pandas(rows: int) -> pandas.DataFrame:
    return pandas.DataFrame({"name": [f"n{i}" for i in range(rows)], "score": [i / 2 for i in range(rows)]})


@env.task
async def sums_pandas(frame: pandas.DataFrame) -> float:
    return float(frame["score"].sum())


@env.task
async def made_of_arrow(rows: int) -> flyte.io.DataFrame:
    return flyte.io.DataFrame.wrap_df(pyarrow.table({"x": list(range(rows))}))


@env.task
async def reads_arrow(frame: flyte.io.DataFrame) -> int:
    """The SDK leaves reading to the client of S3 that pyarrow has, which knows other variables than the SDK's."""
    table = await frame.open(pyarrow.Table).all()
    return sum(table.column("x").to_pylist())


@env.task
async def wraps(rows: int) -> flyte.io.DataFrame:
    return flyte.io.DataFrame.wrap_df(pandas.DataFrame({"x": list(range(rows))}))


@env.task
async def rows_of(frame: flyte.io.DataFrame) -> int:
    return len(await frame.open(pandas.DataFrame).all())


@env.task
async def makes_typed() -> Scores:
    return flyte.io.DataFrame.wrap_df(pandas.DataFrame({"name": ["a", "b"], "score": [1.0, 2.0], "more": [5, 6]}))


@env.task
async def reads_typed(frame: Scores) -> list[str]:
    """Only the columns that the type names are read."""
    return list((await frame.open(pandas.DataFrame).all()).columns)


@env.task
async def passes_on(frame: flyte.io.DataFrame) -> flyte.io.DataFrame:
    return frame


@env.task
async def in_a_list(frames: list[flyte.io.DataFrame]) -> list[int]:
    return [len(await frame.open(pandas.DataFrame).all()) for frame in frames]


@env.task
async def all_frames() -> list[str]:
    pandas_sum = await sums_pandas(await makes_pandas(5))
    wrapped = await wraps(3)
    # What one kind wrote another reads.
    found = [f"{pandas_sum} {await rows_of(await made_of_arrow(5))}", f"{await rows_of(await passes_on(wrapped))}"]
    found.append(f"{await reads_typed(await makes_typed())}")
    found.append(f"{await in_a_list([wrapped, await wraps(2)])}")
    found.append(f"{await sums_pandas(await makes_pandas(20_000))}")
    return found


@env.task
async def wants_more() -> list[str]:
    return await reads_typed(await wraps(1))


def by_content(frame: pandas.DataFrame) -> str:
    return hashlib.sha256(frame.to_csv(index=False).encode()).hexdigest()


@env.task(cache="auto")
async def counted(frame: flyte.io.DataFrame) -> str:
    """Another text for each time that it really runs."""
    return flyte.ctx().action.run_name or ""


@env.task
async def remembers(value: int) -> str:
    frame = pandas.DataFrame({"x": [value]})
    return await counted(await flyte.io.DataFrame.from_local(frame, hash_method=by_content(frame)))
