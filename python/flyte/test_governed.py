"""Rules over Flyte programs: how tags come to their data, where their tasks may run, and what becomes of one that may run nowhere."""

import json
import os
import subprocess
import unittest

import flyte
import flyte.remote
from flyte.io import File
from flyte.models import ActionPhase
from rig import OnServer, finish, output, start

import programs_governed as programs

RULES = """
kind: site
name: clinic
simulates: the clinic
capacity: {cpu: 8, memory: 8Gi}
attributes: {zone: clinic}
prices: {cpu_hour: 5}
---
kind: site
name: office
simulates: the office
capacity: {cpu: 8, memory: 8Gi}
attributes: {zone: office}
prices: {cpu_hour: 0.01}
---
kind: tag
name: scan
owners: [radiology]
enters:
  - {task: governed.reads_scans}
  - {project: acceptance, domain: development, inputs: "s3://hospital/"}
  - {run_labels: {data: scans}}
---
kind: tag
name: nowhere
owners: [radiology]
enters: [{task: "governed.forbid*"}]
---
kind: policy
name: scans
cedar: |
  @id("stay")
  @reason("scans stay in the clinic")
  forbid (principal, action in Action::"place", resource)
  when { context.data in Tag::"scan" } unless { resource.zone == "clinic" };
  @id("never")
  @reason("this is for nobody")
  forbid (principal, action in Action::"place", resource)
  when { context.data in Tag::"nowhere" };
"""


# What the first gives comes from what it is given; of the second nothing does.
WORKFLOWS = """
workflow: acceptance/measure
inputs: {path: {type: string}}
nodes:
  look: {run: {command: [echo, "${ inputs.path }"]}, needs: {cpu: 1, memory: 64Mi}}
outputs: {of: "${ inputs.path }"}
---
workflow: acceptance/file-away
inputs: {path: {type: string}}
nodes:
  look: {run: {command: [echo, "${ inputs.path }"]}, needs: {cpu: 1, memory: 64Mi}}
outputs: {filed: true}
---
workflow: acceptance/quiet
nodes:
  look: {run: {command: [echo, nothing]}, needs: {cpu: 1, memory: 64Mi}}
  again: {run: {command: [echo, nothing]}, needs: {cpu: 1, memory: 64Mi}, after: [look]}
outputs: {done: true}
"""
SCAN = "s3://hospital/raw/7.dcm"


class Governed(OnServer):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for name, text in [("rules.yaml", RULES), ("two.workflow.yaml", WORKFLOWS)]:
            path = cls.server.folder / name
            path.write_text(text)
            applied = cls.tutti("apply", "-f", path)
            assert applied.returncode == 0, applied.stderr + applied.stdout
        for site in cls.server.get("/sites"):
            if site["name"] not in ("clinic", "office"):
                cls.tutti("site", "cordon", site["name"])

    @classmethod
    def tutti(cls, *arguments):
        server = ["--server", f"http://127.0.0.1:{cls.server.port}"]
        return subprocess.run([os.environ["TUTTI_BIN"], *arguments, *server], capture_output=True, text=True)

    def explained(self, run, name):
        """What `tutti explain` says of the action that runs a task."""
        actions = flyte.remote.Action.listall(for_run_name=run.name)
        action = next(action.name for action in actions if action.pb2.metadata.task.short_name == name)
        said = self.tutti("explain", run.name, action)
        self.assertEqual(said.returncode, 0, said.stderr)
        return said.stdout

    def tearDown(self):
        # Every decision that was recorded is made again, and every label computed again.
        verified = self.tutti("audit", "verify", "-o", "json")
        self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)

    def test_nothing_is_held_that_no_rule_speaks_of(self):
        self.assertEqual(output(programs.plain, x=1), "office", "where it is cheapest")

    def test_a_tag_enters_by_the_task_and_what_was_told_carries_it_on(self):
        run = finish(start(programs.asks_for_scans))
        # The root began in the office, where no scan may be told of: it fails with the reason, as the child does.
        self.assertEqual(run.phase, ActionPhase.FAILED)
        error = run.details().action_details.error_info
        self.assertIn("PolicyRefused", error.code)
        self.assertIn("may not be told at `office`", error.message)
        self.assertIn("scans/stay", self.explained(run, "reads_scans"))
        # In the clinic it goes on, and carries from then on what it was told.
        self.tutti("site", "cordon", "office")
        try:
            self.assertEqual(output(programs.asks_for_scans), ["clinic"] * 4)
        finally:
            self.tutti("site", "uncordon", "office")
        facts = self.tutti("audit", "export").stdout
        self.assertIn("governed.reads_scans", facts)

    def test_a_task_that_may_run_nowhere_fails_alone_and_says_why(self):
        run = finish(start(programs.goes_on))
        self.assertEqual(run.phase, ActionPhase.SUCCEEDED)
        refused, other = run.outputs()[0]
        self.assertEqual(other, "office")
        self.assertTrue(refused.startswith("RuntimeUserError PolicyRefused"), refused)
        self.assertIn("scans/never", refused)
        self.assertIn("this is for nobody", refused)
        self.assertIn("scans/never", self.explained(run, "forbidden"))
        # It is found without looking for it, with what is proposed against it, by people who know the command line alone.
        found = json.loads(self.tutti("get", "findings", run.name, "-o", "json").stdout)
        self.assertEqual([(one["kind"], one["run"]) for one in found], [("refused", run.name)])
        self.assertIn("this is for nobody", found[0]["failure"]["message"])
        self.assertEqual(found[0]["remedies"][0]["command"], f"tutti explain {run.name} {found[0]['action']}")
        self.assertIn(found[0]["action"], self.tutti("get", "findings", "--project", "acceptance", "-o", "name").stdout)
        # As a run of its own it is not even accepted.
        with self.assertRaisesRegex(Exception, "scans/never"):
            start(programs.forbidden, x=1)

    def test_a_workflow_that_is_awaited_carries_on_what_it_is_given(self):
        site = lambda run: next(a["site"] for a in self.server.actions(run.name) if a["path"].endswith("/workflow/look"))  # noqa: E731
        # Where the program is, it may not be told what such a workflow gives; the workflow is not begun.
        run = finish(start(programs.asks_for_workflow, name="measure", bucket="hospital"))
        error = run.details().action_details.error_info
        self.assertEqual(run.phase, ActionPhase.FAILED)
        self.assertIn("PolicyRefused", error.code)
        self.assertIn("may not be told at `office`", error.message)
        self.assertEqual(len(self.server.actions(run.name)), 2)
        self.assertIn(run.name, self.tutti("get", "findings", "-o", "name").stdout)
        # What gives nothing of it may be awaited there, and works where the scan may be.
        run = finish(start(programs.asks_for_workflow, name="file-away", bucket="hospital"))
        self.assertEqual((run.phase, run.outputs()[0], site(run)), (ActionPhase.SUCCEEDED, {"filed": True}, "clinic"))
        run = finish(start(programs.asks_for_workflow, name="measure", bucket="elsewhere"))
        self.assertEqual((run.phase, site(run)), (ActionPhase.SUCCEEDED, "office"))
        # Where the program may be told, it carries from then on what it was.
        self.tutti("site", "cordon", "office")
        try:
            run = finish(start(programs.asks_for_workflow, name="measure", bucket="hospital"))
            self.assertEqual((run.phase, run.outputs()[0], site(run)), (ActionPhase.SUCCEEDED, {"of": SCAN}, "clinic"))
        finally:
            self.tutti("site", "uncordon", "office")

    def test_a_workflow_that_is_awaited_carries_what_led_to_it(self):
        """It reads nothing of it, but that it runs tells of it."""
        sites = lambda run: [a["site"] for a in self.server.actions(run.name) if "/workflow/" in a["path"]]  # noqa: E731
        run = finish(start(programs.asks_for_quiet))
        self.assertEqual((run.phase, sites(run)), (ActionPhase.SUCCEEDED, ["office"] * 2))
        labelled = flyte.with_runcontext(disable_run_cache=True, labels={"data": "scans"})
        run = finish(labelled.run(programs.asks_for_quiet))
        self.assertEqual((run.phase, sites(run)), (ActionPhase.SUCCEEDED, ["clinic"] * 2))

    def test_a_tag_enters_by_an_input_and_by_what_the_run_says_of_itself(self):
        scan = File.from_existing_remote("s3://hospital/raw/7.dcm", file_cache_key="7")
        self.assertEqual(output(programs.given, file=scan), "clinic")
        other = File.from_existing_remote("s3://elsewhere/raw/7.dcm", file_cache_key="7")
        self.assertEqual(output(programs.given, file=other), "office")
        labelled = flyte.with_runcontext(disable_run_cache=True, labels={"data": "scans"})
        self.assertEqual(finish(labelled.run(programs.plain, x=1)).outputs()[0], "clinic")

    def test_what_a_run_gave_carries_its_tags_into_another_and_is_read_by_no_other(self):
        labelled = flyte.with_runcontext(disable_run_cache=True, labels={"data": "scans"})
        made = finish(labelled.run(programs.makes, text="a scan")).outputs()[0]
        self.assertEqual(output(programs.given, file=made), "clinic")
        key = made.path.removeprefix("s3://tutti/")
        self.assertEqual(output(programs.looks, other="x", key=key), "AccessDenied")
        again = finish(labelled.run(programs.looks, other="x", key=key))
        self.assertEqual(again.outputs()[0], "a scan")

    def test_what_a_task_could_read_goes_on_with_the_runs_that_it_starts(self):
        flyte.deploy(programs.env, version="governed")
        labelled = flyte.with_runcontext(disable_run_cache=True, labels={"data": "scans"})
        name, phase = finish(labelled.run(programs.starts_another, x=1)).outputs()[0].split()
        self.assertEqual(phase, "succeeded")
        self.assertEqual([action["site"] for action in self.server.actions(name)], ["clinic"], "no rule speaks of its task")
        name, phase = output(programs.starts_another, x=1).split()
        self.assertEqual([action["site"] for action in self.server.actions(name)], ["office"])

    def test_tags_that_came_while_a_run_went_on_hold_in_its_repetitions(self):
        self.tutti("site", "cordon", "office")
        try:
            grown = finish(start(programs.asks_for_scans))
        finally:
            self.tutti("site", "uncordon", "office")
        self.assertEqual(grown.phase, ActionPhase.SUCCEEDED)
        # The server's own repetition takes nothing over of which it does not know what it carries.
        status, said = self.server.send(f"/api/v1/runs/{grown.name}/rerun/plan", b"{}", **{"content-type": "application/json"})
        plan = json.loads(said)
        self.assertEqual((status, plan["reused"]), (200, []), plan)
        self.assertIn("tags came to its data while it ran", plan["again"][0]["why"])
        # What was recovered carries what was told before, and so does what was recovered from that.
        again = grown
        for _ in range(2):
            again = finish(flyte.with_runcontext(disable_run_cache=True).rerun(again.name, recover=True))
            self.assertEqual(again.phase, ActionPhase.RECOVERED)
            self.assertTrue(self.server.get(f"/runs/{again.name}/action?path=a0")["reused"])
            self.assertEqual(self.server.get(f"/runs/{again.name}/action?path=a0")["label"], ["scan"])

    def test_a_task_names_nothing_for_another_run_that_it_may_not_read(self):
        flyte.deploy(programs.env, version="governed")
        labelled = flyte.with_runcontext(disable_run_cache=True, labels={"data": "scans"})
        held = finish(labelled.run(programs.plain, x=1))
        # Not as an address: that would bring its tags with it.
        key = f"runs/acceptance/development/{held.name}/a0/1/outputs.pb"
        self.assertEqual(output(programs.names_for_another, key=key), "permission_denied")
        open_run = finish(start(programs.plain, x=1))
        key = f"runs/acceptance/development/{open_run.name}/a0/1/outputs.pb"
        self.assertEqual(self.server.get(f"/runs/{output(programs.names_for_another, key=key)}")["project"], "acceptance")


if __name__ == "__main__":
    unittest.main()
