"""Programs of the Flyte SDK that the acceptance tests run on a real server."""

import asyncio
import ctypes
import os
import subprocess
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import flyte
import flyte.errors
from flyte.io import Dir, File

env = flyte.TaskEnvironment(name="acceptance")


@env.task
async def square(x: int) -> int:
    print(f"squaring {x}")
    return x * x


@env.task
async def fan_out(n: int) -> list[int]:
    with flyte.group("squares"):
        return list(await asyncio.gather(*[square(i) for i in range(n)]))


@env.task
def double(x: int) -> int:
    return 2 * x


@env.task
def mapped(n: int) -> list[int]:
    return [value for value in flyte.map(double, range(n))]


@dataclass
class Point:
    x: int
    y: float


@env.task
async def shift(p: Point, by: float = 1.5) -> Point:
    return Point(x=p.x + 1, y=p.y + by)


@env.task
async def nested(x: int) -> int:
    return await square(x) + (await fan_out(2))[1]


@env.task(retries=3)
async def flaky() -> int:
    attempt = int(os.environ["FLYTE_ATTEMPT_NUMBER"])
    if attempt < 2:
        raise ValueError(f"attempt {attempt}")
    return attempt


@env.task(retries=3)
async def hopeless() -> int:
    raise flyte.errors.NonRecoverableError("never")


@env.task
async def failing() -> int:
    raise ValueError("on purpose")


@env.task
async def catches() -> str:
    try:
        await failing()
    except flyte.errors.RuntimeUserError as error:
        return f"{error.code}: {error}"
    return "nothing"


@env.task(timeout=timedelta(seconds=4))
async def slow() -> int:
    await asyncio.sleep(300)
    return 1


@env.task
async def catches_timeout() -> str:
    try:
        await slow()
    except flyte.errors.TaskTimeoutError as error:
        return type(error).__name__
    return "nothing"


@env.task
async def sleeps() -> int:
    await asyncio.sleep(300)
    return 1


@env.task
async def waits_for_sleepers() -> int:
    return sum(await asyncio.gather(sleeps(), sleeps()))


@env.task
async def gives_up() -> str:
    sleeper = asyncio.create_task(sleeps())
    await square(1)
    sleeper.cancel()
    try:
        await sleeper
    except asyncio.CancelledError:
        return "gave up"
    return "waited"


@env.task(cache=flyte.Cache(behavior="override", version_override="1"))
async def remembered(x: int) -> float:
    return time.time()


@env.task
async def twice(x: int) -> list[float]:
    return [await remembered(x), await remembered(x)]


@flyte.trace
async def step(x: int) -> int:
    return x + 1


@env.task
async def traced(n: int) -> int:
    total = 0
    for i in range(n):
        total += await step(i)
    return total


@env.task
async def make_file(text: str) -> File:
    path = Path("made.txt")
    path.write_text(text)
    return await File.from_local(str(path))


@env.task
async def make_dir(n: int) -> Dir:
    folder = Path("made")
    folder.mkdir()
    for i in range(n):
        (folder / f"{i}.txt").write_text(str(i))
    return await Dir.from_local(str(folder))


@env.task
async def files(text: str) -> list[str]:
    file = await make_file(text)
    async with file.open("rb") as stream:
        found = [bytes(await stream.read()).decode()]
    folder = await make_dir(3)
    async for part in folder.walk():
        async with part.open("rb") as stream:
            found.append(bytes(await stream.read()).decode())
    return sorted(found)


@env.task
async def large(megabytes: int) -> int:
    path = Path("large.bin")
    path.write_bytes(b"x" * (megabytes << 20))
    file = await File.from_local(str(path))
    async with file.open("rb") as stream:
        return len(bytes(await stream.read()))


@env.task
async def makes_large(megabytes: int) -> File:
    path = Path("large.bin")
    path.write_bytes(os.urandom(1 << 20) * megabytes)
    return await File.from_local(str(path))


@env.task
async def measures(file: File) -> list[int]:
    """How large it is, and how much comes of a part of it."""
    async with file.open("rb") as stream:
        size = len(bytes(await stream.read()))
        await stream.seek(size // 2)
        return [size, len(bytes(await stream.read(100)))]


@env.task
async def asks() -> str:
    condition = await flyte.new_condition.aio("approve", prompt="May it?", data_type=bool)
    return f"answered {await condition.wait.aio()}"


@env.task
async def waits_long(n: int) -> list[int]:
    async def one(i: int) -> int:
        return await lingers(i)

    return list(await asyncio.gather(*[one(i) for i in range(n)]))


@env.task
async def lingers(x: int) -> int:
    await asyncio.sleep(3)
    return x


other = flyte.TaskEnvironment(name="elsewhere", image=flyte.Image.from_base("team/nowhere:1"))


@other.task
async def nowhere() -> int:
    return 1


warm = flyte.TaskEnvironment(name="warm", reusable=flyte.ReusePolicy(replicas=4, idle_ttl=60))


@warm.task
async def who(x: int) -> str:
    """The process that it runs in, and what that knows of the action."""
    print(f"warm {x}")
    ctx = flyte.ctx()
    return f"{os.getpid()} {ctx.action.name} {os.environ['ACTION_NAME']}"


@warm.task
async def one_after_another(n: int) -> list[str]:
    return [await who(i) for i in range(n)]


@warm.task
async def breaks(x: int) -> int:
    raise ValueError(f"warm {x}")


@warm.task
async def ends_its_process(x: int) -> int:
    os._exit(3)


@warm.task
async def lingers_warm(x: int) -> int:
    print(f"lingers {x}", flush=True)
    await asyncio.sleep(5)
    return x


@warm.task
async def waits_warm(n: int) -> list[int]:
    return list(await asyncio.gather(*[lingers_warm(i) for i in range(n)]))


@warm.task
async def sleeps_warm() -> str:
    Path("ready").touch()
    subprocess.Popen(["sleep", "300"])
    await asyncio.sleep(300)
    return "slept"


@env.task
async def pid() -> str:
    # Within its walls it has the number that others have within theirs: when it began tells them apart.
    began = Path("/proc/self/stat").read_text().rsplit(") ", 1)[1].split()[19]
    return f"{began} {Path('/proc/self/cmdline').read_text()}"


cold = flyte.TaskEnvironment(name="cold", env_vars={"PYTHONHASHSEED": "7"})


@cold.task
async def started_cold() -> str:
    return f"{os.environ['PYTHONHASHSEED']} {hash('tutti')}"


def seen(data: str, server: int) -> list[str]:
    """What a process finds that is the server's and none of its own business."""
    own = [os.getcwd(), os.environ["TUTTI_SITE_FILES"], os.environ["TUTTI_FLYTE_ENVIRONMENTS"], f"{data}/flyte/host.py", f"{data}/mine"]
    found = [str(path) for path in Path(data).rglob("*") if path.is_file() and not any(str(path).startswith(one) for one in own)]
    found += [f"above: {path}" for path in Path("..").rglob("*") if path.is_file() and not path.resolve().is_relative_to(os.getcwd())]
    for name in ("environ", "root/etc/hostname", f"root{data}/journal", "cwd/", "fd/0", "fdinfo/0", "mem"):
        try:
            path = f"/proc/{server}/{name}"
            found.append(f"{path}: {os.listdir(path) if os.path.isdir(path) else open(path, 'rb').read(1)}")
        except OSError:
            pass
    try:
        os.kill(server, 0)
        # Kernels before 6.12 do not keep them in.
        if tuple(int(part) for part in os.uname().release.split(".")[:2]) >= (6, 12):
            found.append("signals")
    except OSError:
        pass
    try:
        # Below `/tmp` this is its own: whether the server has it is seen outside.
        Path(data, "mine").write_text("x")
    except OSError:
        pass
    ctypes.CDLL(None).umount2(data.encode(), 2)
    return found + [f"uncovered: {name}" for name in os.listdir(data) if name not in ("flyte", "sites", "mine")]


@env.task
async def looks_around(data: str, server: int) -> list[str]:
    return seen(data, server)


@warm.task
async def looks_around_warm(data: str, server: int) -> list[str]:
    return seen(data, server)


@cold.task
async def looks_around_cold(data: str, server: int) -> list[str]:
    return seen(data, server)


def client_of(endpoint: str, access: str, secret: str):
    """A client of S3 that knows nothing of Flyte."""
    import boto3
    import botocore.config

    config = botocore.config.Config(signature_version="s3v4", s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
    keys = {"aws_access_key_id": access, "aws_secret_access_key": secret}
    return boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", config=config, **keys)


def own_client():
    named = ("FLYTE_AWS_ENDPOINT", "FLYTE_AWS_ACCESS_KEY_ID", "FLYTE_AWS_SECRET_ACCESS_KEY")
    return client_of(*(os.environ[name] for name in named))


def own_prefix() -> str:
    """Where this attempt writes."""
    attempt = int(os.environ["FLYTE_ATTEMPT_NUMBER"]) + 1
    return f"{os.environ['_U_RUN_BASE'].removeprefix('s3://tutti/')}/{os.environ['ACTION_NAME']}/{attempt}/raw"


def same(found, wanted):
    assert found == wanted, f"{found!r} is not {wanted!r}"


@env.task
def uses_boto3() -> str:
    import io
    import urllib.request

    import boto3.s3.transfer
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    s3, at = own_client(), own_prefix()
    names = ["a b/ü+&.txt", "d/1", "d/2", "d/e/3", "z%41"]
    for name in names:
        s3.put_object(Bucket="tutti", Key=f"{at}/{name}", Body=name.encode())
    for name in names:
        same(s3.get_object(Bucket="tutti", Key=f"{at}/{name}")["Body"].read(), name.encode())
    same(s3.get_object(Bucket="tutti", Key=f"{at}/{names[0]}", Range="bytes=2-4")["Body"].read(), names[0].encode()[2:5])
    head = s3.head_object(Bucket="tutti", Key=f"{at}/d/1")
    same(head["ContentLength"], 3)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="tutti", Prefix=f"{at}/", PaginationConfig={"PageSize": 2})
    same([o["Key"] for page in pages for o in page.get("Contents", [])], [f"{at}/{name}" for name in sorted(names)])
    folders = s3.list_objects_v2(Bucket="tutti", Prefix=f"{at}/d/", Delimiter="/")
    same([o["Key"] for o in folders["Contents"]], [f"{at}/d/1", f"{at}/d/2"])
    same([p["Prefix"] for p in folders["CommonPrefixes"]], [f"{at}/d/e/"])
    s3.copy_object(Bucket="tutti", Key=f"{at}/copy", CopySource={"Bucket": "tutti", "Key": f"{at}/d/2"})
    same(s3.get_object(Bucket="tutti", Key=f"{at}/copy")["Body"].read(), b"d/2")
    # In parts.
    content = os.urandom(12 << 20)
    parts = boto3.s3.transfer.TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20)
    s3.upload_fileobj(io.BytesIO(content), "tutti", f"{at}/large", Config=parts)
    back = io.BytesIO()
    s3.download_fileobj("tutti", f"{at}/large", back, Config=parts)
    assert back.getvalue() == content
    begun = s3.create_multipart_upload(Bucket="tutti", Key=f"{at}/never")["UploadId"]
    s3.abort_multipart_upload(Bucket="tutti", Key=f"{at}/never", UploadId=begun)
    # In chunks, with a checksum after them.
    keys = Credentials(os.environ["FLYTE_AWS_ACCESS_KEY_ID"], os.environ["FLYTE_AWS_SECRET_ACCESS_KEY"])
    url = f"{os.environ['FLYTE_AWS_ENDPOINT']}/tutti/{at}/chunks"
    body = b"5\r\nhello\r\n6\r\n world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n"
    request = AWSRequest(method="PUT", url=url, data=body, headers={"x-amz-decoded-content-length": "11"})
    request.context["checksum"] = {"request_algorithm": {"in": "trailer"}}
    request.context["client_config"] = s3.meta.config
    S3SigV4Auth(keys, "s3", "us-east-1").add_auth(request)
    same(request.headers["X-Amz-Content-SHA256"], "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
    urllib.request.urlopen(urllib.request.Request(url, body, dict(request.headers.items()), method="PUT")).close()
    same(s3.get_object(Bucket="tutti", Key=f"{at}/chunks")["Body"].read(), b"hello world")
    # By a link.
    link = s3.generate_presigned_url("get_object", Params={"Bucket": "tutti", "Key": f"{at}/{names[0]}"}, ExpiresIn=60)
    with urllib.request.urlopen(link) as answer:
        same(answer.read(), names[0].encode())
    s3.delete_object(Bucket="tutti", Key=f"{at}/copy")
    s3.delete_objects(Bucket="tutti", Delete={"Objects": [{"Key": f"{at}/{name}"} for name in names]})
    left = s3.list_objects_v2(Bucket="tutti", Prefix=f"{at}/")
    same([o["Key"] for o in left["Contents"]], [f"{at}/chunks", f"{at}/large"])
    return "all of it"


@env.task
async def uses_obstore() -> str:
    import obstore
    from obstore.store import S3Store

    store = S3Store(
        "tutti",
        endpoint=os.environ["FLYTE_AWS_ENDPOINT"],
        access_key_id=os.environ["FLYTE_AWS_ACCESS_KEY_ID"],
        secret_access_key=os.environ["FLYTE_AWS_SECRET_ACCESS_KEY"],
        region="us-east-1",
        client_options={"allow_http": True},
    )
    at = own_prefix()
    await obstore.put_async(store, f"{at}/one", b"hello")
    same(bytes(await obstore.get_range_async(store, f"{at}/one", start=1, end=4)), b"ell")
    same((await obstore.head_async(store, f"{at}/one"))["size"], 5)
    try:
        await obstore.put_async(store, f"{at}/one", b"again", mode="create")
        raise AssertionError("it was there")
    except obstore.exceptions.AlreadyExistsError:
        pass
    content = os.urandom(11 << 20)
    async with obstore.open_writer_async(store, f"{at}/large", buffer_size=5 << 20) as writer:
        await writer.write(content)
    assert bytes(await (await obstore.get_async(store, f"{at}/large")).bytes_async()) == content
    await obstore.copy_async(store, f"{at}/one", f"{at}/two")
    await obstore.rename_async(store, f"{at}/two", f"{at}/three")
    listed = [meta["path"] for meta in await obstore.list(store, prefix=f"{at}/").collect_async()]
    same(sorted(listed), [f"{at}/large", f"{at}/one", f"{at}/three"])
    await obstore.delete_async(store, listed)
    try:
        await obstore.get_async(store, f"{at}/one")
        raise AssertionError("it is gone")
    except FileNotFoundError:
        return "all of it"


REACHED = ["read of another run", "AccessDenied"] + ["AccessDenied"] * 6


@env.task
def reaches_out(other: str) -> list[str]:
    """What comes of touching what is of others."""
    from botocore.exceptions import ClientError

    s3, at = own_client(), own_prefix()
    found = []

    def attempt(method, **given):
        try:
            getattr(s3, method)(Bucket="tutti", **given)
            found.append("granted")
        except ClientError as refused:
            found.append(refused.response["Error"]["Code"])

    s3.head_object(Bucket="tutti", Key=f"{other}/a0/1/outputs.pb")
    found.append("read of another run")
    attempt("put_object", Key=f"{other}/a0/1/outputs.pb", Body=b"x")
    attempt("delete_objects", Delete={"Objects": [{"Key": f"{other}/a0/1/outputs.pb"}]})
    attempt("put_object", Key=f"{at.removesuffix('/1/raw')}/2/outputs.pb", Body=b"x")
    attempt("list_objects_v2", Prefix="")
    attempt("list_objects_v2", Prefix="inputs/")
    attempt("get_object", Key="runs/elsewhere/development/r/a0/1/outputs.pb")
    attempt("copy_object", Key=f"{at}/x", CopySource={"Bucket": "tutti", "Key": "uploads/elsewhere/development/x"})
    return found


@env.task
def gives_its_key_away() -> str:
    return f"{os.environ['FLYTE_AWS_ACCESS_KEY_ID']} {os.environ['FLYTE_AWS_SECRET_ACCESS_KEY']}"


@env.task
def lends_its_key() -> int:
    """Writes down its key, and lives until it is stopped."""
    at = own_prefix()
    own_client().put_object(Bucket="tutti", Key=f"{at}/hello", Body=b"hello, world")
    named = ("FLYTE_AWS_ACCESS_KEY_ID", "FLYTE_AWS_SECRET_ACCESS_KEY")
    print("lent", at, *(os.environ[name] for name in named), flush=True)
    time.sleep(600)
    return 0


@env.task
def acts_for_others(other: str) -> list[str]:
    """What comes of using the token of this attempt for something else."""
    import json
    import urllib.error
    import urllib.request

    from flyteidl2.actions.actions_service_pb2 import EnqueueRequest
    from flyteidl2.workflow.run_service_pb2 import AbortRunRequest, ListRunsRequest, SignalEventRequest

    token = os.environ["TUTTI_FLYTE_TOKEN"]
    server = os.environ["_U_EP_OVERRIDE"].split("/flyte/as/")[0]
    found = [token]

    def call(path, body=None):
        headers = {"authorization": f"Bearer {token}", "content-type": "application/proto"}
        request = urllib.request.Request(f"{server}{path}", body, headers)
        try:
            with urllib.request.urlopen(request):
                found.append("granted")
        except urllib.error.HTTPError as error:
            with error:
                said = json.load(error)
                found.append(said["code"] if body is not None else str(error.code))

    asked = EnqueueRequest()
    asked.action.action_id.run.project = "acceptance"
    asked.action.action_id.run.domain = "development"
    asked.action.action_id.run.name = other
    asked.action.action_id.name = "child"
    asked.action.parent_action_name = "a0"
    call("/flyteidl2.actions.ActionsService/Enqueue", asked.SerializeToString())
    call("/api/v1/runs")
    call("/flyteidl2.workflow.RunService/SignalEvent", SignalEventRequest().SerializeToString())
    stopped = AbortRunRequest()
    stopped.run_id.CopyFrom(asked.action.action_id.run)
    call("/flyteidl2.workflow.RunService/AbortRun", stopped.SerializeToString())
    elsewhere = ListRunsRequest()
    elsewhere.project_id.name, elsewhere.project_id.domain = "another", "development"
    call("/flyteidl2.workflow.RunService/ListRuns", elsewhere.SerializeToString())
    elsewhere.project_id.name = "acceptance"
    call("/flyteidl2.workflow.RunService/ListRuns", elsewhere.SerializeToString())
    return found
