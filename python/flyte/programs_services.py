"""Programs that use what the server looks after: secrets and triggers."""

import hashlib
import os
from datetime import datetime, timezone

import flyte

plain = flyte.TaskEnvironment(name="plain")
secret = flyte.TaskEnvironment(name="secret", secrets=flyte.Secret("api-key", as_env_var="API_KEY"), depends_on=[plain])
without = flyte.TaskEnvironment(name="without", secrets="not-there")


@secret.task
async def keyed() -> str:
    print(f"the key is {os.environ['API_KEY']}")
    return hashlib.sha256(os.environ["API_KEY"].encode()).hexdigest()


within = flyte.TaskEnvironment(name="within", secrets=flyte.Secret("scoped", as_env_var="SCOPED"))


@within.task
async def scoped() -> str:
    return hashlib.sha256(os.environ["SCOPED"].encode()).hexdigest()


@plain.task
async def looks() -> str:
    return os.environ.get("API_KEY", "none")


@secret.task
async def asks_a_child() -> str:
    return await looks()


@without.task
async def lost() -> str:
    return os.environ["NOT_THERE"]


clock = flyte.TaskEnvironment(name="clock")
each_minute = flyte.Trigger("each-minute", flyte.Cron("* * * * *", timezone="Europe/Berlin"), inputs={"at": flyte.TriggerTime, "n": 3})
seldom = flyte.Trigger("seldom", flyte.FixedRate(60 * 24), inputs={"at": flyte.TriggerTime, "n": 7}, auto_activate=False)


@clock.task(triggers=(each_minute, seldom))
async def tick(at: datetime, n: int) -> str:
    return f"{at.astimezone(timezone.utc).isoformat()} {n}"


feed = flyte.TaskEnvironment(name="feed")
on_artifact = flyte.Trigger("on-artifact", flyte.OnArtifact("model"), inputs={"n": 1})


@feed.task(triggers=on_artifact)
async def feeding(n: int) -> int:
    return n
