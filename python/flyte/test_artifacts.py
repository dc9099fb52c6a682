"""Artifacts of the unmodified SDK: published by tasks and by hand, found, taken as inputs, and what they start."""

import os
import subprocess
import tempfile
import unittest
from datetime import date

import flyte

import flyte.remote
from flyte.io import File
from flyte.models import ActionPhase
from flyte.remote import Artifact
from rig import OnServer, finish, output, start, until

import programs_artifacts as programs


def told(run):
    """What the server tells of the inputs of a run, or why it does not."""
    try:
        return repr(flyte.remote.Run.get(run.name).inputs())
    except Exception as refused:
        return repr(refused)


class Artifacts(OnServer):
    @classmethod
    def tutti(cls, *arguments):
        server = ["--server", f"http://127.0.0.1:{cls.server.port}"]
        return subprocess.run([os.environ["TUTTI_BIN"], *arguments, *server], capture_output=True, text=True)

    def test_what_a_task_produces_is_published_with_where_it_comes_from(self):
        run = finish(start(programs.publishes, text="hello", name="greeting"))
        found = Artifact.get("greeting")
        self.assertEqual(found.version, f"{run.name}-a0-1")
        self.assertEqual((found.kind, found.pb2.spec.info.description), ("data", "A text."))
        self.assertEqual(found.source, f"run {run.name}/a0 (attempt 1)")
        self.assertEqual(found.partitions, {})
        # It is an input like any other value, and says what it is.
        self.assertEqual(output(programs.reads, file=found), "hello")
        self.assertEqual(found.pb2.spec.value.artifact_id.version, found.version)
        finish(start(programs.publishes, text="again", name="greeting", version="2"))
        self.assertEqual([version.version for version in Artifact.listall("greeting")], ["2", found.version])
        self.assertEqual(output(programs.reads, file=Artifact.get("greeting")), "again")
        self.assertEqual(output(programs.reads, file=Artifact.get("greeting", version=found.version)), "hello")
        self.assertEqual([v.version for v in Artifact.listall(kind="data", attrs={"words": "2"}, limit=1)], ["2"])
        self.assertEqual([v.version for v in Artifact.listall(source_run=run.name)], [found.version])
        groups = {group.name: group for group in Artifact.list_names(search="greet")}
        self.assertEqual((list(groups), groups["greeting"].versions), (["greeting"], 2))

    def test_what_a_run_was_given_gave_and_published_goes_with_it(self):
        secret = "4711 is Ada, born in 1815"
        run, other = (finish(start(programs.publishes, text=secret, name=name)) for name in ("erased", "kept"))
        found = Artifact.get("erased")
        store = self.server.folder / "data" / "flyte"
        lies_open = lambda: [str(path) for path in store.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]  # noqa: E731
        self.assertEqual(lies_open(), [])
        erased = self.tutti("erase", "--run", run.name)
        self.assertEqual(erased.returncode, 0, erased.stderr)
        with self.assertRaisesRegex(Exception, "(?i)not.found|there is no artifact"):
            Artifact.get("erased")
        self.assertEqual([version.version for version in Artifact.listall("erased")], [])
        self.assertNotIn(secret, told(run))
        self.assertEqual(finish(start(programs.reads, file=found)).phase, ActionPhase.FAILED)
        # Another's is still there, and so is the account.
        self.assertEqual(output(programs.reads, file=Artifact.get("kept")), secret)
        self.assertIn(secret, told(other))
        verified = self.tutti("audit", "verify", "-o", "json")
        self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)

    def test_the_caller_may_say_that_outputs_are_artifacts(self):
        self.assertEqual(output(programs.declares_for_another, text="said by the caller"), "said by the caller")
        self.assertEqual(output(programs.reads, file=Artifact.get("declared", version="9")), "said by the caller")

    def test_partitions_identify_versions(self):
        days = [date(2026, 9, 1), date(2026, 9, 2)]
        runs = [start(programs.publishes_part, text=f"{day} {region}", day=day, region=region) for day in days for region in ("us", "eu")]
        for run in runs:
            self.assertEqual(finish(run).phase, ActionPhase.SUCCEEDED)
        found = Artifact.get("events", date=days[0], region="eu")
        self.assertEqual(found.partitions, {"date": days[0], "region": "eu"})
        self.assertEqual(output(programs.reads, file=found), "2026-09-01 eu")
        self.assertEqual(len(list(Artifact.listall("events", date=(days[0], days[1]), latest_per_partition=True))), 4)
        self.assertEqual(len(list(Artifact.listall("events", region=["us"]))), 2)
        self.assertEqual(Artifact.partition_values("events", "date"), days)
        self.assertEqual(Artifact.partition_values("events", "region", date=days[1]), ["eu", "us"])
        schema = Artifact.get_schema("events")
        self.assertEqual((schema.time_key, schema.granularity, schema.keys, schema.declared), ("date", "day", ("region",), False))

    def test_declared_partitions_hold(self):
        Artifact.declare("hourly", partitions={"hour": "hour", "region": str})
        self.assertTrue(Artifact.get_schema("hourly").declared)
        Artifact.declare("hourly", partitions={"hour": "hour", "region": str})
        with self.assertRaises(Exception) as refused:
            Artifact.declare("hourly", partitions={"region": str})
        self.assertIn("the partitions hour, region", str(refused.exception))

    def test_artifacts_are_published_by_tasks_themselves(self):
        self.assertEqual(output(programs.creates), "1 model run")

    def test_a_version_is_published_once_and_what_is_not_there_says_so(self):
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as local:
            local.write("from outside")
            local.flush()
            remote = File.from_local_sync(local.name) if hasattr(File, "from_local_sync") else None
            if remote is None:
                self.skipTest("this client uploads in tasks alone")
            Artifact.create(remote, name="outside", version="1", external_ref="ticket 7")
            with self.assertRaises(Exception) as refused:
                Artifact.create(remote, name="outside", version="1")
            self.assertIn("already", str(refused.exception))
        with self.assertRaises(Exception) as refused:
            Artifact.get("never-there")
        self.assertIn("there is no artifact", str(refused.exception))

    def test_an_attempt_sees_artifacts_of_its_own_project(self):
        # A server without tokens knows no attempt by its token: who calls is everybody.
        self.assertIn("there is no artifact", output(programs.looks_elsewhere))


class OnArtifact(OnServer):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        flyte.deploy(programs.watching)

    def fired(self, trigger):
        name = f"trigger:acceptance/development/{trigger}"
        return [run["name"] for run in self.server.get("/runs")["items"] if run["principal"] == name]

    def test_a_new_version_starts_the_task_with_it(self):
        name = "watching.retrain/on-model"
        finish(start(programs.publishes, text="unwatched", name="other"))
        finish(start(programs.publishes, text="first", name="watched"))
        first = until("a run of the trigger", lambda: self.fired(name))
        run = finish(flyte.remote.Run.get(name=first[0]))
        self.assertEqual(run.outputs()[0], "first first")
        # What comes while the server is down is made up for, and nothing is fired for twice.
        second = finish(start(programs.publishes, text="second", name="watched"))
        self.assertEqual(second.phase, ActionPhase.SUCCEEDED)
        self.server.kill()
        self.server.start()
        runs = until("the second run", lambda: self.fired(name) if len(self.fired(name)) == 2 else None)
        self.assertEqual(finish(flyte.remote.Run.get(name=runs[0])).outputs()[0], "second second")
        self.assertEqual(len(self.fired(name)), 2)

    def test_partitions_choose_and_are_inputs(self):
        name = "watching.clean/on-part"
        finish(start(programs.publishes_part, text="e", day=date(2026, 9, 3), region="eu"))
        finish(start(programs.publishes_part, text="u", day=date(2026, 9, 4), region="us"))
        runs = until("a run of the trigger", lambda: self.fired(name))
        self.assertEqual(len(runs), 1)
        self.assertEqual(finish(flyte.remote.Run.get(name=runs[0])).outputs()[0], "u 2026-09-04 us")


WAITING = """
workflow: acceptance/told
inputs: {event: {type: object}}
nodes:
  said: {human: {title: "The version ${ inputs.event.version }", assign: {groups: [officers]}}}
outputs: {name: "${ inputs.event.name }", version: "${ inputs.event.version }", region: "${ inputs.event.partitions.region }"}
---
kind: trigger
name: told
workflow: acceptance/told
event: {name: flyte.artifact, match: {project: acceptance, domain: development, name: events}}
"""


class Workflows(OnServer):
    def test_a_workflow_is_started_by_a_version_and_given_what_it_is(self):
        server = ["--server", f"http://127.0.0.1:{self.server.port}"]

        def tutti(*arguments, text=None):
            ran = subprocess.run([os.environ["TUTTI_BIN"], *arguments, *server], capture_output=True, text=True, input=text)
            self.assertEqual(ran.returncode, 0, ran.stderr + ran.stdout)
            return ran.stdout

        path = self.server.folder / "told.workflow.yaml"
        workflow, trigger = WAITING.split("---\n")
        path.write_text(workflow)
        tutti("apply", "-f", str(path))
        path = self.server.folder / "told.yaml"
        path.write_text(trigger)
        tutti("apply", "-f", str(path))
        finish(start(programs.publishes, text="unwatched", name="other"))
        made = finish(start(programs.publishes_part, text="e", day=date(2026, 9, 3), region="eu"))
        waiting = until("the question of the workflow", lambda: self.server.get("/approvals"))
        self.assertEqual([one["title"] for one in waiting], [f"The version {made.name}-a0-1"], "the other name starts nothing")
        tutti("approve", waiting[0]["run"], "said", "--as", "ada", "--groups", "officers")
        look = lambda: self.server.get(f"/runs/{waiting[0]['run']}")  # noqa: E731
        until("the end", lambda: look()["phase"] == "succeeded")
        self.assertEqual(look()["outputs"], {"name": "events", "version": f"{made.name}-a0-1", "region": "eu"})


if __name__ == "__main__":
    unittest.main()
