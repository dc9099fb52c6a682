"""The bank story on the binary, end to end: `tutti demo bank` as a person runs it, with the server killed on the way.

The binary is the one that TUTTI_BIN names, or `tutti` on the search path. Python's packages come from TUTTI_BANK_VENV.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.error
import urllib.request
from pathlib import Path

from test_bank import Page

TUTTI = os.environ.get("TUTTI_BIN") or shutil.which("tutti")
# Generous: a loaded machine is slow, and nothing is measured.
PATIENCE = 600
STEPS = ["ingest", "quality", "pseudonymise", "split", "train", "validate", "sign", "deploy", "card", "report"]


def environment():
    kept = ("TUTTI_BANK_VENV", "TUTTI_FLYTE_VENV")
    found = {name: value for name, value in os.environ.items() if not name.startswith("TUTTI_") or name in kept}
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

    def test_it_says_where_its_run_is_looked_at(self):
        said = "".join(self.said)
        [url] = set(re.findall(r"a server is up at (\S+),", said))
        self.assertIn(f"in a browser: {url}/runs/{self.summary['name']}\n", said)

    def test_a_flyte_program_ran_on_the_same_server_or_it_is_said_why_not(self):
        told, said = self.summary["flyte"], "".join(self.said)
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        venv = Path(os.environ.get("TUTTI_FLYTE_VENV") or cache / "tutti/flyte-venv")
        if not (venv / "bin/a0").exists():
            self.assertIn("the Flyte SDK is not in", told["left_out"])
            self.assertIn("no Flyte program is shown", said)
            return
        self.assertEqual((told["phase"], told["tasks"]), ("succeeded", 21), said)
        view = json.loads(tutti("get", "run", told["name"], "--data", str(self.data), "-o", "json"))
        self.assertEqual({action["phase"] for action in view["actions"]}, {"succeeded"})
        self.assertEqual(view["project"], "bank")

    def test_nothing_ran_twice(self):
        for path, action in self.actions.items():
            if action["kind"] == "run":
                self.assertEqual(action["attempts"], 1, path)

    def test_every_step_ran_where_it_may(self):
        where = {path: self.actions[path]["site"] for path in STEPS}
        # Any cloud may have it: mostly the cheapest, and another one when trying that costs next to nothing.
        self.assertIn(where.pop("card"), ("cloud-virginia", "cloud-frankfurt"))
        self.assertEqual(where, {**{step: "onprem" for step in where}, "deploy": "cloud-frankfurt"})
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

    def test_names_may_not_leave_and_the_demo_shows_it(self):
        said = "".join(self.said)
        self.assertIn("leaky.workflow.yaml sends names to a cloud, and is refused (E0010)", said)
        self.assertIn("[pii] → quality → train", said)
        self.assertIn("personal-data/stays-home: personal data stays on-premise", said)
        self.assertIn("✗ names do not run in a cloud of the Union", said)
        leaky = subprocess.run(
            [TUTTI, "apply", "-f", str(Path(__file__).parent / "leaky.workflow.yaml"), "--data", str(self.data)],
            env=environment(), capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip
        self.assertEqual(leaky.returncode, 3, leaky.stderr)
        self.assertIn("[pii] → quality → train", leaky.stderr)

    def test_the_account_holds_and_a_changed_copy_does_not(self):
        said = "".join(self.said)
        self.assertIn("checked without the server by", said)
        self.assertIn("a copy in which one character of one entry is another one", said)
        kept = min(self.data.glob("demo/*/audit.jsonl"))
        key = tutti("audit", "key", "--data", str(self.data)).strip()
        tutti("audit", "verify", str(kept), "--key", key)
        changed = [TUTTI, "audit", "verify", str(kept.with_name("audit-changed.jsonl")), "--key", key]
        self.assertEqual(subprocess.run(changed, env=environment(), capture_output=True, timeout=PATIENCE).returncode, 1)

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


class Server:
    """`tutti up` on a free port, and its API as a person's browser would call it."""

    def __init__(self, data):
        command = [TUTTI, "up", "--data", str(data), "--listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(
            command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )  # fmt: skip
        self.url = self.process.stdout.readline().split()[-1]

    def stop(self):
        self.process.terminate()
        self.process.wait(60)
        self.process.stdout.close()

    def call(self, path, body=None, headers=()):
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json", **dict(headers)}
        request = urllib.request.Request(f"{self.url}/api/v1/{path}", data, headers)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.loads(answer.read())

    def run_until(self, name, holds):
        """Waits until something holds of a run. Gives the run."""
        stream = urllib.request.urlopen(f"{self.url}/api/v1/events?run={name}", timeout=PATIENCE)
        with stream:
            while True:
                run = self.call(f"runs/{name}")
                if holds(run):
                    return run
                if run.get("finished_at"):
                    raise AssertionError(f"{name} ended: {run['phase']}, {run.get('failure')}")
                stream.readline()

    def end_of(self, name):
        return self.run_until(name, lambda run: run.get("finished_at"))

    def approval(self, name):
        self.run_until(name, lambda run: run["waiting_for_human"])
        return next(approval for approval in self.call("approvals") if approval["run"] == name)

    def decide(self, name, decision, form, user="risk-officer", groups="risk-officers"):
        who = {"x-tutti-user": user, "x-tutti-groups": groups}
        return self.call(f"runs/{name}/decision", {"decision": decision, "form": form}, who)


@unittest.skipUnless(TUTTI, "there is no binary: name it in TUTTI_BIN")
class Decisions(unittest.TestCase):
    """What a person, or a figure, says no to does not happen."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.data = Path(folder.name) / "data"
        cls.server = Server(cls.data)
        cls.addClassCleanup(cls.server.stop)
        bank = Path(__file__).parent
        server = ("--server", cls.server.url)
        tutti("apply", "-f", str(bank / "sites.yaml"), str(bank / "rules.yaml"), *server)
        for person in ("ada", "bob"):
            tutti("policy", "approve", "pseudonymise", "--as", person, "--groups", "data-protection", *server)
        tutti("apply", "-f", str(bank / "fraud-model.workflow.yaml"), *server)
        # At the same time: they share the keys that the first of them makes.
        for name, inputs in (("weak", {"bar": 0.95}), ("rejected", {}), ("mistaken", {})):
            cls.server.call("runs", {"workflow": "bank/fraud-model", "name": name, "inputs": inputs})

    def phases(self, run):
        return {action["path"]: action["phase"] for action in run["actions"] if action["kind"] != "transfer"}

    def in_use(self):
        return (self.data / "sites/cloud-frankfurt/files/models/current.json").exists()

    def test_a_model_below_the_bar_is_not_even_signed(self):
        run = self.server.end_of("weak")
        self.assertEqual(run["phase"], "failed")
        self.assertIn("is below the bar of 0.95", run["failure"]["message"])
        phases = self.phases(run)
        self.assertEqual((phases["validate"], phases["sign"]), ("succeeded", "skipped"), phases)

    def test_what_is_rejected_is_not_used(self):
        show = self.server.approval("rejected")["show"]
        form = {"model_digest": show["model_digest"], "key": show["key"], "reason": "not this quarter"}
        with self.assertRaises(urllib.error.HTTPError) as refused:
            self.server.decide("rejected", "approve", form, user="intern", groups="interns")
        self.assertEqual(refused.exception.code, 403)
        with self.assertRaises(urllib.error.HTTPError) as refused:
            self.server.decide("rejected", "approve", {**form, "reason": "ok"})
        self.assertEqual(refused.exception.code, 400)
        self.server.decide("rejected", "reject", form)
        run = self.server.end_of("rejected")
        phases = self.phases(run)
        unused = {path for path, phase in phases.items() if phase == "skipped"}
        self.assertEqual(unused, {"below_the_bar", "deploy", "score", "card", "report"})
        self.assertIsNone(run["outputs"]["report"])
        self.assertFalse(self.in_use())

    def test_an_approval_of_another_model_puts_nothing_into_use(self):
        show = self.server.approval("mistaken")["show"]
        form = {"model_digest": "sha256:" + "0" * 64, "key": show["key"], "reason": "a digest from somewhere else"}
        self.server.decide("mistaken", "approve", form)
        run = self.server.end_of("mistaken")
        self.assertEqual(run["phase"], "failed")
        self.assertEqual(self.phases(run)["deploy"], "failed")
        with urllib.request.urlopen(f"{self.server.url}/api/v1/runs/mistaken/logs?path=deploy&stream=stderr") as log:
            self.assertIn(b"refused: the signature is for sha256:", log.read())
        self.assertFalse([path for path in self.phases(run) if path.startswith("score[")])
        self.assertFalse(self.in_use())


@unittest.skipUnless(TUTTI, "there is no binary: name it in TUTTI_BIN")
class Errors(unittest.TestCase):
    def test_missing_packages_are_said_at_once(self):
        with tempfile.TemporaryDirectory() as folder:
            bare = {"PATH": "/usr/bin:/bin", "HOME": folder}
            done = subprocess.run([TUTTI, "demo", "bank", "--data", f"{folder}/d"], env=bare, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn("make demo", done.stderr)
        self.assertNotIn("submitted", done.stderr)

    def test_a_step_that_fails_says_why_where_people_look(self):
        # Within walls `/tmp` is the step's own: an interpreter there is not found.
        with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
            python = Path(folder) / "venv/bin/python"
            python.parent.mkdir(parents=True)
            python.write_text(f'#!/bin/sh\ncase "$1" in -c) exec {sys.executable} "$@";; *) echo "no such luck" >&2; exit 7;; esac\n')
            python.chmod(0o755)
            broken = {**environment(), "TUTTI_BANK_VENV": str(python.parent.parent)}
            command = [TUTTI, "demo", "bank", "--data", f"{folder}/d"]
            done = subprocess.run(command, env=broken, capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("ingest | no such luck", done.stdout)
        self.assertIn("fraud-model-1 failed", done.stdout)


if __name__ == "__main__":
    unittest.main()
