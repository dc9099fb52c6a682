"""A real store that speaks S3 behind a site: large objects of tasks lie in its bucket."""

import os
import socket
import subprocess
import sys
import unittest
from pathlib import Path

import boto3
import botocore.config
import botocore.exceptions
from flyte.models import ActionPhase
from rig import Server, connect, finish, output, start, until

import programs

STORE = Path(sys.prefix).parent / "flyte-store-venv" / "bin" / "moto_server"
LARGE = 1 << 20
SITE = """
kind: site
name: clinic
simulates: the clinic
capacity: {{cpu: 4, memory: 8Gi}}
store:
  url: http://127.0.0.1:{port}/tasks/here
  access_key: access
  secret_key: secret://acceptance/store
"""


class Store:
    """The store, which can be away. What is up again at its port has nothing any more."""

    def __init__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        patience = botocore.config.Config(retries={"max_attempts": 1}, connect_timeout=5, read_timeout=20)
        keys = {"aws_access_key_id": "access", "aws_secret_access_key": "a secret of the store"}
        self.client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{self.port}", region_name="us-east-1", config=patience, **keys)
        self.start()
        self.client.create_bucket(Bucket="tasks")

    def start(self):
        command = [STORE, "-H", "127.0.0.1", "-p", str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until("the store", self.is_up)

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def is_up(self):
        try:
            self.client.list_buckets()
            return True
        except botocore.exceptions.BotoCoreError:
            return False

    def objects(self):
        """What lies in the bucket: bytes by name."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket="tasks")
        return {found["Key"]: found["Size"] for page in pages for found in page.get("Contents", [])}


@unittest.skipUnless(STORE.exists(), f"there is no {STORE}: python/flyte/setup.sh installs it")
class InABucket(unittest.TestCase):
    def setUp(self):
        self.store = Store()
        self.addCleanup(lambda: self.store.stop())
        self.server = Server()
        self.server.start()
        self.addCleanup(lambda: self.server.stop())
        connect(self.server)
        site = self.server.folder / "site.yaml"
        site.write_text(SITE.format(port=self.store.port))
        apply = ["apply", "-f", site]
        self.assertIn("W0701", self.run_tutti(*apply).stderr, "its secret is not there")
        self.tutti("secrets", "set", "acceptance/store", given="a secret of the store")
        self.tutti(*apply)
        for other in self.server.get("/sites"):
            if other["name"] != "clinic":
                self.tutti("site", "cordon", other["name"])

    def run_tutti(self, *words, given=None):
        command = [os.environ["TUTTI_BIN"], *words, "--server", f"http://127.0.0.1:{self.server.port}"]
        return subprocess.run(command, input=given, capture_output=True, text=True)

    def tutti(self, *words, given=None):
        done = self.run_tutti(*words, given=given)
        self.assertEqual(done.returncode, 0, done.stderr + done.stdout)
        return done.stdout

    def here(self):
        """Large files of the server that hold objects."""
        files = (self.server.folder / "data/flyte/store").rglob("*")
        return [path for path in files if path.is_file() and path.stat().st_size >= LARGE]

    def test_large_objects_lie_there_and_are_read_from_there_by_the_next_server_too(self):
        made = finish(start(programs.makes_large, megabytes=24))
        self.assertEqual(made.phase, ActionPhase.SUCCEEDED)
        lies = self.store.objects()
        self.assertEqual((len(lies), self.here()), (1, []))
        [(name, size)] = lies.items()
        self.assertTrue(name.startswith("here/") and size > 24 << 20, "sealed, it is larger")
        self.server.kill()
        self.server.start()
        self.assertEqual(output(programs.measures, file=made.outputs()[0]), [24 << 20, 100])
        self.assertEqual(output(programs.files, text="hi"), ["0", "1", "2", "hi"])
        self.assertEqual(output(programs.large, megabytes=24), 24 << 20)
        # The secret is nowhere but where it is sealed.
        written = [path for path in self.server.folder.rglob("*") if path.is_file() and b"a secret of the store" in path.read_bytes()]
        self.assertEqual(written, [])
        # What is erased is gone there too.
        self.tutti("erase", "--run", made.name)
        self.assertNotIn(name, self.store.objects())

    def test_a_store_that_is_away_is_no_fault_of_the_task_and_nothing_is_lost(self):
        made = finish(start(programs.makes_large, megabytes=2))
        [name] = self.store.objects()
        kept = self.store.client.get_object(Bucket="tasks", Key=name)["Body"].read()
        self.store.stop()
        # A server starts without it, and what does not need it goes on.
        self.server.kill()
        self.server.start()
        self.assertEqual(output(programs.square, x=3), 9)
        run = start(programs.measures, file=made.outputs()[0])
        failed = until("an attempt that could not", lambda: self.server.actions(run.name)[0].get("failure"), 240)
        self.assertEqual((failed.get("code"), failed["class"]), ("E0041", "site_down"), failed)
        self.assertIn("the store of the site `clinic`", failed["message"])
        self.store.start()
        self.store.client.create_bucket(Bucket="tasks")
        self.store.client.put_object(Bucket="tasks", Key=name, Body=kept)
        self.assertEqual(finish(run).outputs()[0], [2 << 20, 100])


if __name__ == "__main__":
    unittest.main()
