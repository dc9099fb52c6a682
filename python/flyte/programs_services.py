"""Programs that use what the server looks after: secrets and triggers."""

import hashlib
import os

import flyte

plain = flyte.TaskEnvironment(name="plain")
secret = flyte.TaskEnvironment(name="secret", secrets=flyte.Secret("api-key", as_env_var="API_KEY"), depends_on=[plain])
without = flyte.TaskEnvironment(name="without", secrets="not-there")


@secret.task
async def keyed() -> str:
    print(f"the key is {os.environ['API_KEY']}")
    return hashlib.sha256(os.environ["API_KEY"].encode()).hexdigest()


@plain.task
async def looks() -> str:
    return os.environ.get("API_KEY", "none")


@secret.task
async def asks_a_child() -> str:
    return await looks()


@without.task
async def lost() -> str:
    return os.environ["NOT_THERE"]
