"""Programs that publish artifacts, take them, and are started by them."""

from datetime import date, datetime
from pathlib import Path

import flyte
import flyte.artifacts as artifacts
import flyte.remote
from flyte.io import File

env = flyte.TaskEnvironment(name="artifacts")


async def file_of(text: str) -> File:
    path = Path("made.txt")
    path.write_text(text)
    return await File.from_local(str(path))


async def text_of(file: File) -> str:
    async with file.open("rb") as stream:
        return bytes(await stream.read()).decode()


@env.task(produces_artifacts=True)
async def publishes(text: str, name: str, version: str = "") -> File:
    card = await artifacts.Card.create_from.aio(content=f"<p>{text}</p>")
    told = artifacts.Metadata(name=name, version=version or None, description="A text.", kind="data", attrs={"words": "2"}, card=card)
    return artifacts.new(await file_of(text), told)


@env.task(produces_artifacts=True)
async def publishes_part(text: str, day: date, region: str) -> File:
    told = artifacts.Metadata(name="events", partitions={"date": day, "region": region})
    return artifacts.new(await file_of(text), told)


@env.task
async def plain(text: str) -> File:
    return await file_of(text)


@env.task
async def declares_for_another(text: str) -> str:
    with artifacts.produces(o0=artifacts.Metadata(name="declared", version="9")):
        file = await plain.override(produces_artifacts=True)(text=text)
    return await text_of(file)


@env.task
async def reads(file: File) -> str:
    return await text_of(file)


@env.task
async def creates() -> str:
    created = await flyte.remote.Artifact.create.aio(await file_of("by hand"), name="by-hand", version="1", kind="model")
    found = await flyte.remote.Artifact.get.aio("by-hand")
    return f"{created.version} {found.kind} {found.source.split()[0]}"


@env.task
async def looks_elsewhere() -> str:
    try:
        await flyte.remote.Artifact.get.aio("model", project="elsewhere")
    except Exception as error:
        return str(error)
    return "granted"


watching = flyte.TaskEnvironment(name="watching")
on_model = flyte.Trigger("on-model", flyte.OnArtifact("watched"), inputs={"file": flyte.TriggeredArtifact, "times": 2})
on_part = flyte.Trigger(
    "on-part",
    flyte.OnArtifact("events", region="us"),
    inputs={"file": flyte.TriggeredArtifact, "at": flyte.TriggeredPartition("date"), "where": flyte.TriggeredPartition("region")},
)


@watching.task(triggers=on_model)
async def retrain(file: File, times: int) -> str:
    return " ".join([await text_of(file)] * times)


@watching.task(triggers=on_part)
async def clean(file: File, at: datetime, where: str) -> str:
    return f"{await text_of(file)} {at.date()} {where}"
