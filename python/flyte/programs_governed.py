"""Programs on data that rules speak of."""

import asyncio
import os

import flyte
import flyte.errors
import flyte.remote
from flyte.io import File
from programs import own_client

env = flyte.TaskEnvironment(name="governed", resources=flyte.Resources(cpu=1, memory="256Mi"))


def where() -> str:
    """The site that it runs at."""
    return os.environ["TUTTI_SITE_SIMULATES"].removeprefix("the ")


@env.task
async def plain(x: int) -> str:
    return where()


@env.task
async def reads_scans(x: int) -> str:
    return where()


@env.task
async def forbidden(x: int) -> str:
    return where()


@env.task
async def asks_for_scans() -> list[str]:
    """Asks for work on what may be in the clinic alone, and for more after that."""
    before = await plain(1)
    scans = await reads_scans(1)
    return [where(), before, scans, await plain(2)]


@env.task
async def goes_on() -> list[str]:
    async def tried() -> str:
        try:
            return await forbidden(1)
        except flyte.errors.RuntimeUserError as error:
            return f"{type(error).__name__} {error.code} {error}"

    return list(await asyncio.gather(tried(), plain(1)))


@env.task
async def asks_for_workflow(name: str, bucket: str) -> dict:
    """What this program is given says nothing of a scan; what it gives the workflow does."""
    return await flyte.remote.Task.get(name, auto_version="latest")(path=f"s3://{bucket}/raw/7.dcm")


@env.task
async def asks_for_quiet() -> dict:
    return await flyte.remote.Task.get("quiet", auto_version="latest")()


@env.task
async def given(file: File) -> str:
    return where()


@env.task
async def makes(text: str) -> File:
    with open("made.txt", "w") as made:
        made.write(text)
    return await File.from_local("made.txt")


@env.task
def looks(other: str, key: str) -> str:
    """Reads an object of another run that nobody gave it."""
    from botocore.exceptions import ClientError

    try:
        return own_client().get_object(Bucket="tutti", Key=key)["Body"].read().decode()
    except ClientError as refused:
        return refused.response["Error"]["Code"]


@env.task
async def starts_another(x: int) -> str:
    """Starts a run of a task of which no rule speaks, as it was deployed."""
    run = await flyte.run.aio(flyte.remote.Task.get("governed.plain", version="governed"), x=x)
    await run.wait.aio(quiet=True)
    return f"{run.name} {run.phase.value}"


@env.task
async def names_for_another(key: str) -> str:
    """Names an object as the inputs of a run, whether it may be read or not."""
    from connectrpc.errors import ConnectError
    from flyte._initialize import get_client
    from flyteidl2.common import identifier_pb2, run_pb2
    from flyteidl2.task import task_definition_pb2
    from flyteidl2.workflow import run_service_pb2

    place = {"project": "acceptance", "domain": "development", "org": "tutti"}
    request = run_service_pb2.CreateRunRequest(
        project_id=identifier_pb2.ProjectIdentifier(name="acceptance", domain="development", organization="tutti"),
        task_id=task_definition_pb2.TaskIdentifier(name="governed.plain", version="governed", **place),
        offloaded_input_data=run_pb2.OffloadedInputData(uri=f"s3://tutti/{key}"),
    )
    # The client is made when something is first started.
    flyte.remote.Task.get("governed.plain", version="governed").fetch()
    try:
        return (await get_client().run_service.create_run(request)).run.action.id.run.name
    except ConnectError as refused:
        return refused.code.value
