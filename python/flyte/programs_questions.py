"""Programs that ask people: with conditions of the SDK, and with its plugin for people."""

import asyncio
import re
from datetime import timedelta

import flyte
import flyte.errors
import flyteplugins.hitl as hitl
from flyte import ConditionWebhook
from flyte.io import File

env = flyte.TaskEnvironment(name="questions")
people = flyte.TaskEnvironment(name="people", depends_on=[hitl.env])


@env.task
async def asks_of_every_type() -> list[str]:
    types = {"sure": bool, "count": int, "share": float, "name": str}
    conditions = [await flyte.new_condition.aio(name, prompt=f"{name}?", data_type=of) for name, of in types.items()]
    answers = await asyncio.gather(*(condition.wait.aio() for condition in conditions))
    return [repr(answer) for answer in answers]


@env.task
async def gives_up() -> str:
    condition = await flyte.new_condition.aio("soon", prompt="Quick?", timeout=timedelta(seconds=2))
    try:
        return f"answered {await condition.wait.aio()}"
    except flyte.errors.ConditionTimedoutError:
        return "nobody answered"


@env.task
async def hears_no() -> list[str]:
    heard = []
    for name, of in (("may", bool), ("many", int)):
        condition = await flyte.new_condition.aio(name, prompt=f"{name}?", data_type=of)
        try:
            heard.append(repr(await condition.wait.aio()))
        except flyte.errors.ConditionFailedError:
            heard.append("rejected")
    return heard


@env.task
async def tells(url: str) -> int:
    webhook = ConditionWebhook(url=url, payload={"answer": "at {callback_uri}", "deep": {"list": ["{callback_uri}", 3]}})
    condition = await flyte.new_condition.aio("told", prompt="How many?", data_type=int, webhook=webhook)
    return await condition.wait.aio()


@people.task
async def overhears(request: str) -> str:
    """Looks in its own folder for the answer to another's question, as who asked does."""
    place = f"{flyte.ctx().raw_data_path.path}/hitl-requests/{request}/response.json"
    try:
        async with File(path=place).open("rb") as stream:
            return bytes(await stream.read()).decode()
    except Exception:
        return "nothing"


@people.task
async def is_overheard() -> list[str]:
    event = await hitl.new_event.aio("amount", data_type=int, prompt="How many?", poll_interval_seconds=1)
    answer = await event.wait.aio()
    return [str(answer), await overhears(re.search(r"/form/([^/?]+)", event.form_url)[1])]


@people.task(report=True)
async def asks_with_the_plugin(prompt: str = "How many?") -> int:
    event = await hitl.new_event.aio("amount", data_type=int, prompt=prompt, poll_interval_seconds=1)
    print(f"the form is at {event.form_url}")
    return 2 * await event.wait.aio()
