"""Registered workflows that the unmodified SDK starts: they are tasks that are deployed already."""

import os
import subprocess
import unittest

import flyte
import flyte.errors
import flyte.remote
from flyte.models import ActionPhase
from rig import OnServer, finish, output, start, until

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
SLEEPS = """
workflow: acceptance/sleeps
inputs: {seconds: {type: number}}
nodes:
  sleep: {run: {command: [sleep, "${ string(inputs.seconds) }"]}}
outputs: {slept: "${ inputs.seconds }"}
"""


def greet(version=None):
    if version:
        return flyte.remote.Task.get("greet", version=version)
    return flyte.remote.Task.get("greet", auto_version="latest")


class Workflows(OnServer):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for name, text in [("greet", GREET), ("breaks", BREAKS), ("files", FILES), ("sleeps", SLEEPS)]:
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

    def test_as_actions_of_a_program_they_are_awaited_like_tasks(self):
        run = finish(start(programs.asks_for_one, name="ada"))
        self.assertEqual(run.phase, ActionPhase.SUCCEEDED, run.details().action_details.error_info)
        given = run.outputs()[0]
        self.assertEqual((given["one"]["greeted"], given["one"]["n"], given["two"]["n"], given["x"]), ("ada", 4, 10, 2))
        shown = self.server.get(f"/runs/{run.name}")
        self.assertEqual({action["phase"] for action in shown["actions"]}, {"succeeded"})
        said = [action["path"] for action in shown["actions"] if action["path"].endswith("/workflow/say")]
        self.assertEqual(sorted(self.server.log(run.name, path)[0] for path in said), ["ada", "eva"])
        # The client sees it like any task, with its inputs and outputs.
        name = said[0].split("/")[0]
        action = flyte.remote.ActionDetails.get(run_name=run.name, name=name)
        self.assertEqual(action.pb2.metadata.task.id.name, "greet")
        verified = self.tutti("audit", "verify", "-o", "json")
        self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)

    def test_one_that_breaks_fails_alone_with_its_reason(self):
        run = finish(start(programs.goes_on_without))
        self.assertEqual(run.phase, ActionPhase.SUCCEEDED, run.details().action_details.error_info)
        self.assertIn("RuntimeUserError", run.outputs()[0])
        self.assertIn("fall", run.outputs()[0])
        self.assertTrue(run.outputs()[0].endswith("and 2"))

    def test_one_that_succeeded_is_taken_when_the_program_is_recovered(self):
        mark = self.server.shared("mended") / "mark"
        failed = finish(start(programs.asks_then_needs, mark=str(mark)))
        self.assertEqual(failed.phase, ActionPhase.FAILED)
        mark.touch()
        run = finish(flyte.with_runcontext(disable_run_cache=True).rerun(failed.name, recover=True))
        self.assertEqual(run.phase, ActionPhase.SUCCEEDED, run.details().action_details.error_info)
        self.assertEqual(run.outputs()[0]["n"], 4)
        [child] = [action for action in flyte.remote.Action.listall(for_run_name=run.name) if action.name != "a0"]
        self.assertEqual((child.phase, child.pb2.metadata.recovered_from.run.name), (ActionPhase.RECOVERED, failed.name))

    def test_what_it_cannot_take_is_said_to_the_program(self):
        self.assertIn("factor", output(programs.asks_wrongly))

    def test_it_goes_on_when_the_server_is_killed_and_stops_with_the_program(self):
        run = start(programs.waits_for_one, seconds=8.0)
        running = lambda run: [a["path"] for a in self.server.actions(run.name) if a["phase"] == "running"]  # noqa: E731
        until("the node of the workflow", lambda: any(path.endswith("/workflow/sleep") for path in running(run)))
        self.server.kill()
        self.server.start()
        finish(run)
        self.assertEqual((run.phase, run.outputs()[0]), (ActionPhase.SUCCEEDED, {"slept": 8.0}))
        run = start(programs.waits_for_one, seconds=300.0)
        until("the node of the workflow", lambda: any(path.endswith("/workflow/sleep") for path in running(run)))
        run.abort()
        self.phases_become(run, ["aborted"] * 4)


if __name__ == "__main__":
    unittest.main()
