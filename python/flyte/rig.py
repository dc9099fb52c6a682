"""A real server for the unmodified Flyte SDK: TUTTI_BIN is the binary, the Python that runs this has the SDK."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request
from pathlib import Path

# The SDK reports errors to its makers unless it is told otherwise.
os.environ.update(FLYTE_DISABLE_SENTRY="true", DO_NOT_TRACK="1")
for name in ("FLYTECTL_CONFIG", "UCTL_CONFIG"):
    os.environ.pop(name, None)

import flyte  # noqa: E402
import flyte.remote  # noqa: E402
from flyte.models import ActionPhase  # noqa: E402

HERE = Path(__file__).resolve().parent
PATIENCE = 90
# What the wrapper of a process leaves when that has ended.
RECORD = "result.json"


class Server:
    """A server on a data directory and a port of its own, which stay the same when it is started again."""

    def __init__(self, place=None, arguments=(), **environment):
        self.environment = environment
        self.arguments = arguments
        self.folder = Path(tempfile.mkdtemp(prefix="tutti-flyte-", dir=place))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process = None
        self.token = None

    def start(self):
        command = [os.environ["TUTTI_BIN"], "up", "--data", self.folder / "data", "--listen", f"127.0.0.1:{self.port}"]
        command += self.arguments
        environment = {**os.environ, "TUTTI_FLYTE_VENV": sys.prefix, **self.environment}
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=environment)
        line = self.process.stdout.readline()
        if b"is up" not in line:
            raise RuntimeError((self.folder / "log").read_text()[-2000:])

    def shared(self, name):
        """A folder that tasks see too: among the files of their site."""
        folder = self.folder / "data/sites/local/files" / name
        folder.mkdir(parents=True)
        return folder

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=30)
        self.process.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def call(self, path, body=None, headers=None, token=None, method=None):
        token = token or self.token
        headers = {**(headers or {}), **({"authorization": f"Bearer {token}"} if token else {})}
        return urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body, headers, method=method))

    def send(self, path, body, **headers):
        """The status and the body of an answer, whatever it is."""
        try:
            with self.call(path, body, headers) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def make_token(self, name, scopes, **more):
        body = json.dumps({"name": name, "scopes": scopes, **more}).encode()
        with self.call("/api/v1/tokens", body, {"content-type": "application/json"}) as answer:
            return json.load(answer)["token"]

    def get(self, path):
        with self.call(f"/api/v1{path}") as answer:
            return json.load(answer)

    def log(self, run, action):
        with self.call(f"/api/v1/runs/{run}/logs?path={action}") as answer:
            return answer.read().decode().splitlines()

    def under_way(self):
        """Attempts that began and have not ended, as their folders say; also while no server runs."""
        return [owner.parent.name for owner in self.owners_under_way()]

    def owners_under_way(self):
        owners = self.folder.glob("data/**/attempts/*/shim.pid")
        return [owner for owner in owners if not (owner.parent / RECORD).exists()]

    def wrapper(self, run, action):
        """The process that looks after the attempt of an action that is under way. (Within its walls a task sees no process outside.)"""
        for owner in self.owners_under_way():
            environment = dict(json.loads((owner.parent / "shim.json").read_text())["environment"])
            if (environment["TUTTI_RUN"], environment["TUTTI_ACTION"]) == (run, action):
                return int(owner.read_text().split()[0])
        return None

    def actions(self, run):
        return self.get(f"/runs/{run}")["actions"]


def connect(server, token=None, project="acceptance", domain="development", root=HERE):
    """The client of this process talks to the server. Over plain HTTP the SDK sends a token as a part of the address, and in no other place."""
    flyte.init(
        endpoint=f"dns:///localhost:{server.port}" + (f"/flyte/as/{token}" if token else ""),
        insecure=True,
        org="tutti",
        project=project,
        domain=domain,
        root_dir=root,
        image_builder="remote",
    )


def until(what, look, patience=PATIENCE):
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what} did not come within {patience} s")


def start(task, **inputs):
    # The client remembers for a day where it uploaded code to; a server of another test may have had this port.
    return flyte.with_runcontext(disable_run_cache=True).run(task, **inputs)


def finish(run):
    run.wait(quiet=True)
    return run


def output(task, **inputs):
    run = finish(start(task, **inputs))
    if run.phase != ActionPhase.SUCCEEDED:
        raise AssertionError(f"{run.name} {run.phase}: {run.details().action_details.error_info}")
    return run.outputs()[0]


class OnServer(unittest.TestCase):
    """Tests that share a server, whose data lies below `place`."""

    place = None

    @classmethod
    def setUpClass(cls):
        cls.server = Server(cls.place)
        cls.server.start()
        connect(cls.server)

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def phases_become(self, run, expected):
        """What is stopped gets some time to end in order: the client may hear of the root before that."""
        phases = lambda: sorted(action["phase"] for action in self.server.actions(run.name))  # noqa: E731
        until(f"{expected} of {run.name}", lambda: phases() == expected)
