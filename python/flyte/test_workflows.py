"""Registered workflows that the unmodified SDK starts: they are tasks that are deployed already."""

import os
import subprocess
import unittest

import flyte
import flyte.errors
import flyte.remote
from flyte.models import ActionPhase
from rig import OnServer, finish, output, start

import programs_workflows as programs

GREET = """
workflow: acceptance/greet
description: Greets somebody.
inputs:
  name: {type: string}
  factor: {type: integer}
  weights: {type: array, items: {type: number}, default: [1.5]}
  loud: {type: boolean, default: false}
  more: {type: object, default: {}}
nodes:
  say: {run: {command: [echo, "${ inputs.name }"]}}
  count: {use: core/noop, with: {n: "${ inputs.factor * 2 }"}}
outputs: {greeted: "${ inputs.name }", n: "${ nodes.count.n }", weights: "${ inputs.weights }", loud: "${ inputs.loud }", more: "${ inputs.more }"}
"""
BREAKS = """
workflow: acceptance/breaks
nodes:
  fall: {run: {script: "echo it fell >&2; exit 3"}}
"""
FILES = """
workflow: acceptance/files
inputs: {file: {type: file}}
nodes:
  a: {use: core/noop}
"""


def greet(version=None):
    if version:
        return flyte.remote.Task.get("greet", version=version)
    return flyte.remote.Task.get("greet", auto_version="latest")


class Workflows(OnServer):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for name, text in [("greet", GREET), ("breaks", BREAKS), ("files", FILES)]:
            cls.apply(name, text)

    @classmethod
    def tutti(cls, *arguments):
        server = ["--server", f"http://127.0.0.1:{cls.server.port}"]
        return subprocess.run([os.environ["TUTTI_BIN"], *arguments, *server], capture_output=True, text=True)

    @classmethod
    def apply(cls, name, text):
        path = cls.server.folder / f"{name}.workflow.yaml"
        path.write_text(text)
        applied = cls.tutti("apply", "-f", path)
        assert applied.returncode == 0, applied.stderr + applied.stdout

    def test_a_workflow_is_run_with_what_it_takes_and_gives_a_dictionary(self):
        run = finish(start(greet(), name="ada", factor=3, weights=[0.5, 2.0], more={"deep": [1, "x"]}))
        self.assertEqual(run.phase, ActionPhase.SUCCEEDED, run.details().action_details.error_info)
        expected = {"greeted": "ada", "n": 6, "weights": [0.5, 2.0], "loud": False, "more": {"deep": [1, "x"]}}
        self.assertEqual(run.outputs()[0], expected)
        # It is a run like any other: its nodes are actions, and the server knows its outputs.
        shown = self.server.get(f"/runs/{run.name}")
        self.assertEqual((shown["workflow"], shown["phase"], shown["outputs"]), ("acceptance/greet", "succeeded", expected))
        self.assertEqual({a["path"]: a["phase"] for a in shown["actions"]}, dict.fromkeys(["a0", "a0/say", "a0/count"], "succeeded"))
        self.assertEqual(self.server.log(run.name, "a0/say"), ["ada"])
        names = {action.name for action in flyte.remote.Action.listall(for_run_name=run.name)}
        self.assertEqual(names, {"a0", "a0/say", "a0/count"})
        verified = self.tutti("audit", "verify", "-o", "json")
        self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)

    def test_it_is_among_the_tasks_with_its_versions(self):
        self.assertIn("greet", [task.name for task in flyte.remote.Task.listall()])
        details = greet().fetch()
        self.assertEqual(set(details.required_args), {"name", "factor"})
        self.assertEqual(output(greet(details.version), name="eva", factor=1)["n"], 2)
        self.apply("greet", GREET.replace("factor * 2", "factor * 3"))
        try:
            self.assertEqual(output(greet(), name="eva", factor=1)["n"], 3)
            self.assertEqual(output(greet(details.version), name="eva", factor=1)["n"], 2)
        finally:
            self.apply("greet", GREET)

    def test_what_cannot_be_is_refused_with_the_reason(self):
        with self.assertRaisesRegex(Exception, "the input `file` of the workflow cannot be given by a program"):
            start(flyte.remote.Task.get("files", auto_version="latest"))
        with self.assertRaises(flyte.errors.RemoteTaskNotFoundError):
            start(flyte.remote.Task.get("nobody", auto_version="latest"))
        with self.assertRaisesRegex(Exception, "not sent to a queue"):
            flyte.with_runcontext(disable_run_cache=True, queue="gpu").run(greet(), name="ada", factor=1)

    def test_a_workflow_that_breaks_fails_the_run_with_the_reason(self):
        run = finish(start(flyte.remote.Task.get("breaks", auto_version="latest")))
        self.assertEqual(run.phase, ActionPhase.FAILED)
        self.assertIn("fall", run.details().action_details.error_info.message)

    def test_a_running_program_starts_one_as_a_run_of_its_own(self):
        name, phase = output(programs.starts_one, name="ada").split()
        self.assertEqual(phase, ActionPhase.SUCCEEDED.value)
        self.assertEqual(self.server.get(f"/runs/{name}")["outputs"]["greeted"], "ada")

    def test_as_an_action_of_a_program_it_is_refused_and_says_what_to_do(self):
        run = finish(start(programs.asks_for_one, name="ada"))
        self.assertEqual(run.phase, ActionPhase.FAILED)
        self.assertIn("start it as a run of its own", run.details().action_details.error_info.message)


if __name__ == "__main__":
    unittest.main()
