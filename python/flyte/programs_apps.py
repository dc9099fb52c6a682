"""Apps: services that run until they are stopped."""

import os

import fastapi
import flyte
import flyte.app
from flyte.app.extras import FastAPIAppEnvironment

scores = fastapi.FastAPI()
served = FastAPIAppEnvironment(name="scores", app=scores, requires_auth=False)
# Both say that they listen at the same port.
others = fastapi.FastAPI()
beside = FastAPIAppEnvironment(name="others", app=others, requires_auth=True)


@scores.get("/score/{x}")
async def score(x: int) -> dict:
    print(f"scoring {x}", flush=True)
    return {"score": 2 * x, "pid": os.getpid()}


@scores.get("/crash")
async def crash() -> None:
    os._exit(3)


@scores.get("/headers")
async def headers(request: fastapi.Request) -> dict:
    return dict(request.headers)


@others.get("/")
async def root() -> str:
    return "the other one"


# One that is a command and no function.
plain = flyte.app.AppEnvironment(
    name="plain", port=8123, args=["python", "-m", "http.server", "8123", "--bind", "127.0.0.1"], requires_auth=False
)
# One that never comes up.
broken = flyte.app.AppEnvironment(name="broken", args=["python", "-c", "'raise SystemExit(7)'"])

env = flyte.TaskEnvironment(name="caller")


@env.task
async def asks_the_app(x: int) -> int:
    import json
    import urllib.request

    import flyte.remote

    app = await flyte.remote.App.get.aio("scores")
    with urllib.request.urlopen(f"{app.endpoint}/score/{x}") as answer:
        return json.load(answer)["score"]
