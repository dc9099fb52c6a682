"""A real store that speaks S3 behind the objects of tasks: large ones lie in its bucket."""

import os
import shutil
import socket
import subprocess
import sys
import unittest
from pathlib import Path

import boto3
import botocore.exceptions
from flyte.models import ActionPhase
from rig import Server, connect, finish, output, start, until

import programs

STORE = Path(sys.prefix).parent / "flyte-2.11-venv" / "bin" / "moto_server"
LARGE = 1 << 20


@unittest.skipUnless(STORE.exists(), f"there is no {STORE}: python/flyte/setup.sh installs it")
class InABucket(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        cls.server = Server(
            TUTTI_FLYTE_STORE=f"http://127.0.0.1:{port}/tasks/here", TUTTI_FLYTE_STORE_ACCESS_KEY="access", TUTTI_FLYTE_STORE_SECRET_KEY="secret",
        )  # fmt: skip
        cls.store = subprocess.Popen([STORE, "-H", "127.0.0.1", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        cls.bucket = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1", aws_access_key_id="access", aws_secret_access_key="secret")
        until("the store", cls.is_up)
        cls.bucket.create_bucket(Bucket="tasks")
        cls.server.start()
        connect(cls.server)

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.store.terminate()
        cls.store.wait()

    @classmethod
    def is_up(cls):
        try:
            cls.bucket.list_buckets()
            return True
        except botocore.exceptions.BotoCoreError:
            return False

    def there(self):
        """What lies in the bucket: sizes by name."""
        pages = self.bucket.get_paginator("list_objects_v2").paginate(Bucket="tasks", Prefix="here/")
        return {found["Key"]: found["Size"] for page in pages for found in page.get("Contents", [])}

    def here(self):
        """Large files of the server that are no copies."""
        files = (self.server.folder / "data/flyte/store/objects").rglob("*")
        return [path for path in files if path.is_file() and path.stat().st_size >= LARGE]

    def test_large_objects_lie_there_and_are_read_from_there(self):
        before = self.there()
        made = finish(start(programs.makes_large, megabytes=24))
        self.assertEqual(made.phase, ActionPhase.SUCCEEDED)
        lies = {name: size for name, size in self.there().items() if name not in before}
        self.assertEqual((len(lies), self.here()), (1, []))
        self.assertGreaterEqual(next(iter(lies.values())), 24 << 20)
        # Without the copies, and by another server on the same data.
        self.server.kill()
        shutil.rmtree(self.server.folder / "data/flyte/store/cache")
        self.server.start()
        self.assertEqual(output(programs.measures, file=made.outputs()[0]), 24 << 20)
        # What is erased is gone there too.
        command = [os.environ["TUTTI_BIN"], "erase", "--run", made.name, "--server", f"http://127.0.0.1:{self.server.port}"]
        erased = subprocess.run(command, capture_output=True, text=True)
        self.assertEqual(erased.returncode, 0, erased.stderr)
        self.assertEqual([name for name in self.there() if name in lies], [])

    def test_what_the_tests_of_the_store_do_comes_as_it_went(self):
        self.assertEqual(output(programs.files, text="hi"), ["0", "1", "2", "hi"])
        self.assertEqual(output(programs.large, megabytes=24), 24 << 20)


if __name__ == "__main__":
    unittest.main()
