"""The command line of the unmodified SDK: each command that this server answers, as a person types it."""

import json
import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from rig import HERE, OnServer, until

CONFIG = """
admin: {{endpoint: "dns:///localhost:{port}", insecure: true}}
task: {{org: tutti, project: acceptance, domain: development}}
image: {{builder: remote}}
"""
PROGRAM = "programs_cli.py"


class CommandLine(OnServer):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.config = cls.server.folder / "config.yaml"
        cls.config.write_text(CONFIG.format(port=cls.server.port))

    def flyte(self, *words, expected=0):
        """What a command prints."""
        command = [Path(sys.executable).parent / "flyte", "--config", self.config, "--output-format", "json-raw", *words]
        environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=HERE, env=environment, stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, expected, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def run_it(self, task, *words):
        """Starts a task of the program and gives the name of the run."""
        printed = self.flyte("run", *words, PROGRAM, task)
        # The client remembers uploaded code by the address of the server, and prints where a run is seen.
        return re.search(r"/runs/([A-Za-z0-9-]+)", printed)[1]

    def finished(self, run):
        return until(f"the end of {run}", lambda: (row := self.server.get(f"/runs/{run}")).get("finished_at") and row)

    def test_a_program_is_run_followed_and_looked_at(self):
        printed = self.flyte("run", "--follow", "--name", "followed", "--label", "team=ml", PROGRAM, "main", "--n", "3")
        self.assertIn("summing 3", printed)
        self.assertEqual(self.finished("followed")["phase"], "succeeded")
        self.assertIn("followed", self.flyte("get", "run"))
        self.assertIn("followed", self.flyte("get", "run", "followed"))
        self.assertIn("followed", self.flyte("get", "run", "--with-label", "team=ml", "--in-phase", "succeeded"))
        self.assertNotIn("followed", self.flyte("get", "run", "--with-label", "team=other"))
        self.assertNotIn("followed", self.flyte("get", "run", "--in-phase", "failed"))
        actions = self.flyte("get", "action", "followed")
        self.assertEqual(actions.count("shell.square"), 3, actions)
        self.assertIn("a0", self.flyte("get", "action", "followed", "a0"))
        self.assertIn("summing 3", self.flyte("get", "logs", "followed"))
        child = next(action["path"] for action in self.server.actions("followed") if action["path"] != "a0")
        self.assertIn("squaring", self.flyte("get", "logs", "followed", child))
        values = self.flyte("get", "io", "followed")
        self.assertIn("14", values)
        self.assertIn("3", self.flyte("get", "io", "--inputs-only", "followed"))

    def test_the_code_that_ran_is_brought_back(self):
        run = self.run_it("main", "--name", "coded")
        self.finished(run)
        with tempfile.TemporaryDirectory() as folder:
            self.flyte("get", "code", run, "--dest", folder)
            self.assertTrue(list(Path(folder).rglob(PROGRAM)))

    def test_a_deployed_task_is_listed_run_and_triggered(self):
        self.flyte("deploy", "--version", "v1", PROGRAM, "env")
        self.assertIn("shell.main", self.flyte("get", "task"))
        self.assertIn("v1", self.flyte("get", "task", "shell.main"))
        self.assertIn("shell.main", self.flyte("get", "task", "shell.main", "v1"))
        printed = self.flyte("run", "--name", "deployed", "deployed-task", "shell.main", "--n", "2")
        self.assertIn("deployed", printed)
        self.assertEqual(self.finished("deployed")["phase"], "succeeded")
        self.flyte("create", "trigger", "shell.main", "nightly")
        self.assertIn("nightly", self.flyte("get", "trigger"))
        self.flyte("update", "trigger", "nightly", "shell.main", "--deactivate")
        self.assertFalse(next(t for t in self.server.get("/triggers") if t["name"].endswith("nightly")).get("enabled", False))
        self.flyte("delete", "trigger", "nightly", "shell.main")
        self.assertNotIn("nightly", self.flyte("get", "trigger"))

    def test_a_run_and_an_action_are_aborted(self):
        run = self.run_it("waits")
        children = until("its children", lambda: [a for a in self.server.actions(run) if a["path"] != "a0" and a["phase"] == "running"])
        self.flyte("abort", "action", run, children[0]["path"], "--reason", "enough of this one")
        # The program hears of that, and does nothing about it.
        ended = self.finished(run)
        self.assertEqual(ended["phase"], "failed")
        self.assertIn("abort", json.dumps(ended["failure"]).lower())
        run = self.run_it("waits")
        until("it to be at work", lambda: [a for a in self.server.actions(run) if a["phase"] == "running"])
        self.flyte("abort", "run", run, "--reason", "and of all")
        ended = self.finished(run)
        self.assertEqual(ended["phase"], "aborted")
        self.assertIn("and of all", json.dumps(ended))

    def test_a_condition_is_found_and_signalled(self):
        run = self.run_it("asks")
        [waiting] = until("the question", lambda: [a for a in self.server.get("/approvals") if a["run"] == run])
        self.assertIn(waiting["action"], self.flyte("get", "condition", run))
        self.assertIn(run, self.flyte("get", "run", "--paused-only"))
        self.flyte("signal", "condition", run, waiting["action"], "Ada")
        self.assertEqual(self.finished(run)["phase"], "succeeded")
        self.assertIn("it is Ada", self.flyte("get", "io", run))

    def test_a_run_is_repeated(self):
        run = self.run_it("main", "--name", "first")
        self.finished(run)
        self.flyte("rerun", run, "--name", "second")
        self.assertEqual(self.finished("second")["phase"], "succeeded")
        self.flyte("rerun", run, "--name", "third", "--recover")
        self.assertEqual(self.finished("third")["phase"], "succeeded")

    def test_secrets_are_made_and_their_values_are_not_told(self):
        # Without one the command line means all projects, for which there are none here.
        scope = ["--project", "acceptance", "--domain", "development"]
        self.assertIn("a secret is one of a project", self.flyte("create", "secret", "api_key", "--value", "x", expected=1))
        self.flyte("create", "secret", "api_key", "--value", "hunter2-hunter2", *scope)
        listed = self.flyte("get", "secret", *scope)
        self.assertIn("api_key", listed)
        self.assertNotIn("hunter2", listed + self.flyte("get", "secret", "api_key", *scope))
        self.flyte("delete", "secret", "api_key", *scope)
        self.assertNotIn("api_key", self.flyte("get", "secret", *scope))

    def test_artifacts_are_published_and_found(self):
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write("weights")
            file.flush()
            self.flyte("create", "artifact", "model", "--from-file", file.name, "--version", "v7")
        self.assertIn("model", self.flyte("get", "artifact"))
        self.assertIn("v7", self.flyte("get", "artifact", "model"))
        self.assertIn("v7", self.flyte("get", "artifact", "model", "v7"))

    def test_settings_are_what_runs_take_that_say_nothing(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "settings.yaml"
            scope = ["--domain", "development", "--project", "acceptance"]
            path.write_text("run.max_action_concurrency: 1\nenvironment_variables:\n  FLAVOUR: mint\n")
            self.flyte("edit", "settings", "--domain", "development", "--from-file", path)
            shown = self.flyte("get", "settings", *scope)
            self.assertIn("mint", shown)
            # A narrower scope comes first, and another version of it takes its place.
            for flavour in ("lemon", "lime"):
                path.write_text(f"environment_variables:\n  FLAVOUR: {flavour}\n")
                self.flyte("edit", "settings", *scope, "--from-file", path)
            self.assertIn("lime", self.flyte("get", "settings", *scope))
            run = self.run_it("flavour", "--name", "flavoured")
            self.finished(run)
            self.assertIn("lime", self.flyte("get", "io", run))
            run = self.run_it("flavour", "--name", "own", "--env", "FLAVOUR=own")
            self.finished(run)
            self.assertIn("own", self.flyte("get", "io", "--outputs-only", run))
            path.write_text("storage.raw_data_path: s3://elsewhere\n")
            self.assertIn("is no setting here", self.flyte("edit", "settings", *scope, "--from-file", path, expected=1))
            path.write_text("{}\n")
            self.flyte("edit", "settings", "--domain", "development", "--from-file", path)

    def test_as_many_actions_are_at_work_as_the_run_says(self):
        printed = self.flyte("run", "--name", "narrow", "--max-action-concurrency", "2", PROGRAM, "counts_those_beside", "--n", "6")
        self.assertIn("narrow", printed)
        # Those that are held back meanwhile say so.
        queued = lambda: [a["path"] for a in self.server.actions("narrow") if a["phase"] == "queued"]  # noqa: E731
        explained = lambda path: subprocess.run([os.environ["TUTTI_BIN"], "explain", "narrow", path, "--server", f"http://127.0.0.1:{self.server.port}"], capture_output=True, text=True).stdout  # noqa: E731
        until("one that says what it waits for", lambda: any("at most 2 actions of its run may be at work at once, and 2 are" in explained(path) for path in queued()[:1]))
        self.assertEqual(self.finished("narrow")["phase"], "succeeded")
        values = self.flyte("get", "io", "--outputs-only", "narrow")
        self.assertRegex(values, r"\b[12]\b")
        self.assertNotRegex(values, r"\b[3-6]\b")

    def test_who_one_is_and_which_projects_there_are(self):
        self.finished(self.run_it("main"))
        self.assertIn("local", self.flyte("whoami"))
        self.assertIn("acceptance", self.flyte("get", "project"))
        self.assertIn("acceptance", self.flyte("get", "project", "acceptance"))


if __name__ == "__main__":
    unittest.main()
