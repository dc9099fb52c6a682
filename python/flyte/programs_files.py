"""Tasks that take and give files, folders and tables, for workflows to call."""

from pathlib import Path

import flyte
import flyte.artifacts as artifacts
import pandas as pd
from flyte.io import DataFrame, Dir, File

env = flyte.TaskEnvironment(name="files")


@env.task
async def measures(text: File, folder: Dir, table: DataFrame) -> tuple[str, list[str], list[int]]:
    async with text.open("rb") as stream:
        said = bytes(await stream.read()).decode()
    names = []
    async for part in folder.walk():
        async with part.open("rb") as stream:
            names.append(f"{part.name}: {bytes(await stream.read()).decode().strip()}")
    frame = await table.open(pd.DataFrame).all()
    return said, sorted(names), [int(frame["a"].sum()), int(frame["b"].sum())]


@env.task
async def makes(n: int) -> tuple[File, Dir, DataFrame, list[File]]:
    Path("made.txt").write_text("x" * n)
    folder = Path("parts/deep")
    folder.mkdir(parents=True)
    Path("parts/one.txt").write_text("one")
    (folder / "two.txt").write_text("two")
    frame = pd.DataFrame({"a": list(range(n)), "b": list(range(0, 2 * n, 2))})
    several = []
    for number in range(2):
        Path(f"{number}.txt").write_text(str(number))
        several.append(await File.from_local(f"{number}.txt"))
    return await File.from_local("made.txt"), await Dir.from_local("parts"), DataFrame.from_df(frame), several


@env.task(produces_artifacts=True)
async def passes_on(address: str) -> File:
    return artifacts.new(File(path=address), artifacts.Metadata(name="passed-on"))
