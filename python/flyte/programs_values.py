"""Programs whose values are of every kind that goes without other packages, and that go on where an earlier attempt stopped."""

import asyncio
import os
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Optional, Union

import flyte
import flyte.errors
from flyte.io import File
from pydantic import BaseModel

env = flyte.TaskEnvironment(name="values")


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Address(BaseModel):
    street: str
    zip_code: int = 0


class Person(BaseModel):
    name: str
    born: int
    lives: list[Address]


@dataclass
class Scan:
    image: File
    notes: dict[str, list[int]] = field(default_factory=dict)


class Anything:
    """No type that the SDK knows: it goes as a pickle."""

    def __init__(self, x: int):
        self.x = x


@env.task
async def plain(i: int, f: float, s: str, b: bool, at: datetime, span: timedelta, color: Color) -> str:
    return f"{i} {f} {s} {b} {at.isoformat()} {span.total_seconds()} {color.value}"


@env.task
async def nested_values(of: dict[str, list[int]], maybe: Optional[int], either: Union[int, str]) -> list[str]:
    return [f"{sorted(of.items())}", f"{maybe}", f"{type(either).__name__} {either}"]


@env.task
async def moves(person: Person, to: Address) -> Person:
    return person.model_copy(update={"lives": [*person.lives, to]})


@env.task
async def makes_anything(x: int) -> Anything:
    return Anything(x)


@env.task
async def takes_anything(thing: Anything) -> int:
    return thing.x


@env.task
async def makes_scan(text: str) -> Scan:
    Path("scan.txt").write_text(text)
    return Scan(image=await File.from_local("scan.txt"), notes={"pages": [1, 2]})


@env.task
async def reads_scan(scan: Scan) -> str:
    async with scan.image.open("rb") as stream:
        return f"{bytes(await stream.read()).decode()} {scan.notes}"


@env.task
async def no_outputs(x: int) -> None:
    print(f"nothing comes of {x}")


@env.task
async def several() -> tuple[int, str]:
    return 1, "two"


@env.task
async def all_of_it() -> list[str]:
    at, span = datetime.fromisoformat("2026-01-31T10:00:00+00:00"), timedelta(minutes=90)
    found = [await plain(3, 1.5, "ü", True, at, span, Color.BLUE)]
    found += await nested_values({"a": [1, 2]}, None, "text")
    person = await moves(Person(name="ada", born=1815, lives=[]), Address(street="x", zip_code=7))
    found.append(f"{person.name} {person.lives[0].zip_code}")
    found.append(f"{await takes_anything(await makes_anything(5))}")
    found.append(await reads_scan(await makes_scan("seen")))
    found.append(f"{await no_outputs(1)} {await several()}")
    return found


@env.task(retries=2)
async def goes_on() -> str:
    """Counts to three, one a try, and stops in between."""
    checkpoint = flyte.ctx().checkpoint
    before = await checkpoint.load.aio() if hasattr(checkpoint.load, "aio") else await checkpoint.load()
    counted = 0
    if before is not None:
        path = before if before.is_file() else before / "payload"
        counted = int(path.read_text())
    counted += 1
    data = str(counted).encode()
    await (checkpoint.save.aio(data) if hasattr(checkpoint.save, "aio") else checkpoint.save(data))
    if counted < 3:
        raise RuntimeError(f"stopped at {counted}")
    return f"{counted} in attempt {int(os.environ['FLYTE_ATTEMPT_NUMBER']) + 1}"


@env.task
async def one_fails() -> list[str]:
    async def tried(x: int) -> str:
        try:
            return f"{await fails_on_two(x)}"
        except flyte.errors.RuntimeUserError as error:
            return error.code

    return list(await asyncio.gather(*[tried(x) for x in range(4)]))


@env.task
async def fails_on_two(x: int) -> int:
    if x == 2:
        raise KeyError(x)
    return x
