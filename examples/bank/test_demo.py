"""The bank story on the binary, end to end: `tutti demo bank` as a person runs it, with the server killed on the way.

The binary is the one that TUTTI_BIN names, or `tutti` on the search path. Python's packages come from TUTTI_BANK_VENV.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

from test_bank import Page

TUTTI = os.environ.get("TUTTI_BIN") or shutil.which("tutti")
# Generous: a loaded machine is slow, and nothing is measured.
PATIENCE = 600
STEPS = ["ingest", "quality", "pseudonymise", "split", "train", "validate", "sign", "deploy", "card", "report"]


def environment():
    found = {name: value for name, value in os.environ.items() if not name.startswith("TUTTI_") or name == "TUTTI_BANK_VENV"}
    # The Python that runs the tests is the one of the story.
    return {**found, "PATH": f"{Path(sys.executable).parent}:{found['PATH']}"}


def tutti(*arguments):
    done = subprocess.run([TUTTI, *arguments], env=environment(), capture_output=True, text=True, timeout=PATIENCE)
    if done.returncode != 0:
        raise AssertionError(f"tutti {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


def children(pid):
    """The processes that a process has started."""
    threads = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for path in threads for child in path.read_text().split()]


class Demo:
    """A demonstration in its own process. What it says can be waited for."""

    def __init__(self, data, *arguments):
        command = [TUTTI, "demo", "bank", "--data", str(data), *arguments]
        self.process = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.said, self.told, self.changed = [], "", threading.Condition()
        self.readers = [threading.Thread(target=self._hear), threading.Thread(target=self._read)]
        for reader in self.readers:
            reader.start()

    def _hear(self):
        for line in self.process.stderr:
            with self.changed:
                self.said.append(line)
                self.changed.notify_all()
        with self.changed:
            self.said.append("")
            self.changed.notify_all()

    def _read(self):
        self.told = self.process.stdout.read()

    def wait_for(self, words):
        """Waits until it has said so, or has nothing more to say."""
        with self.changed:
            heard = lambda: any(words in line for line in self.said) or "" in self.said  # noqa: E731
            self.changed.wait_for(heard, PATIENCE)
        if not any(words in line for line in self.said):
            raise AssertionError(f"`{words}` was never said:\n{''.join(self.said)}")

    def end(self):
        """Waits for the end. Gives the exit code."""
        code = self.process.wait(PATIENCE)
        for reader in self.readers:
            reader.join()
        self.process.stdout.close()
        self.process.stderr.close()
        return code

    def kill(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.end()


@unittest.skipUnless(TUTTI, "there is no binary: name it in TUTTI_BIN")
class EndToEnd(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.data = Path(folder.name) / "data"
        demo = Demo(cls.data, "-o", "json")
        cls.addClassCleanup(demo.kill)
        # While the model is being trained the server dies, and what it started goes on.
        demo.wait_for("✓ split ")
        [server] = children(demo.process.pid)
        os.kill(server, signal.SIGKILL)
        cls.code, cls.said = demo.end(), demo.said
        cls.summary = json.loads(demo.told) if cls.code == 0 else {}
        if cls.code == 0:
            cls.run_view = json.loads(tutti("get", "run", cls.summary["name"], "--data", str(cls.data), "-o", "json"))
            cls.actions = {action["path"]: action for action in cls.run_view["actions"]}

    def setUp(self):
        self.assertEqual(self.code, 0, "".join(self.said))

    def test_it_ends_well_although_the_server_was_killed(self):
        self.assertIn("the server died (signal: 9", "".join(self.said))
        self.assertEqual(self.run_view["phase"], "succeeded")
        phases = {path: action["phase"] for path, action in self.actions.items()}
        self.assertEqual(phases.pop("below_the_bar"), "skipped")
        self.assertEqual(set(phases.values()), {"succeeded"}, phases)

    def test_nothing_ran_twice(self):
        for path, action in self.actions.items():
            if action["kind"] == "run":
                self.assertEqual(action["attempts"], 1, path)

    def test_every_step_ran_where_it_may(self):
        where = {path: self.actions[path]["site"] for path in STEPS}
        self.assertEqual(where, {**dict.fromkeys(STEPS, "onprem"), "deploy": "cloud-frankfurt", "card": "cloud-virginia"})
        parts = [action for path, action in self.actions.items() if path.startswith("score[") and action["kind"] == "run"]
        self.assertEqual(len(parts), 6)
        for action in parts:
            self.assertEqual((action["site"], action["simulates"]), ("cloud-frankfurt", "a public cloud region in Frankfurt"))
        self.assertNotIn("simulates", self.actions["train"])

    def test_what_travelled_was_an_action_and_everything_has_a_price(self):
        transfers = [action for action in self.actions.values() if action["kind"] == "transfer"]
        self.assertTrue(any(action["path"].startswith("deploy<-") for action in transfers))
        self.assertTrue(any(action["path"].startswith("report<-") and action["site"] == "onprem" for action in transfers))
        for path in STEPS:
            self.assertGreater(self.actions[path]["cost"], 0, path)
        total = sum(action["cost"] for action in self.actions.values())
        self.assertAlmostEqual(self.run_view["cost"], total, places=6)

    def test_a_person_approved_what_was_used(self):
        said = "".join(self.said)
        self.assertIn("risk-officer (risk-officers) answers: approve", said)
        self.assertEqual(self.actions["approve"]["kind"], "human")
        model = self.run_view["outputs"]["model"]["$artifact"]["digest"]
        self.assertIn(f"model  {model}", said)
        current = json.loads((self.data / "sites/cloud-frankfurt/files/models/current.json").read_text())
        self.assertEqual(current["model"], model)

    def test_the_outputs_are_where_it_says(self):
        self.assertEqual(set(self.summary["files"]), {"report", "card", "evidence", "model"})
        text = Path(self.summary["files"]["report"]).read_text()
        page = Page(text)
        self.assertEqual((page.unbalanced, page.open, page.outside), ([], [], []))
        self.assertIn("simulated", text)
        self.assertIn("risk-officer", text)
        outputs = self.run_view["outputs"]
        self.assertGreater(outputs["auc"], 0.75)
        self.assertGreater(outputs["scored_rows"], 1000)

    def test_the_keys_never_left_the_bank(self):
        keys = {path.relative_to(self.data / "sites").parts[0] for path in self.data.glob("sites/*/files/keys/*")}
        self.assertEqual(keys, {"onprem"})

    def test_again_on_the_same_directory_what_is_known_is_not_done_again(self):
        again = json.loads(tutti("demo", "bank", "--data", str(self.data), "-o", "json"))
        self.assertNotEqual(again["name"], self.summary["name"])
        run = json.loads(tutti("get", "run", again["name"], "--data", str(self.data), "-o", "json"))
        reused = {action["path"] for action in run["actions"] if action.get("reused")}
        self.assertEqual(reused, {"ingest", "train", "sign"})
        self.assertEqual(run["phase"], "succeeded")


@unittest.skipUnless(TUTTI, "there is no binary: name it in TUTTI_BIN")
class Errors(unittest.TestCase):
    def test_missing_packages_are_said_at_once(self):
        with tempfile.TemporaryDirectory() as folder:
            bare = {"PATH": "/usr/bin:/bin", "HOME": folder}
            done = subprocess.run([TUTTI, "demo", "bank", "--data", f"{folder}/d"], env=bare, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn("make demo", done.stderr)
        self.assertNotIn("submitted", done.stderr)


if __name__ == "__main__":
    unittest.main()
