"""What goes wrong with tasks, as parents and clients are told it, and programs that go on after an interruption."""

import json
import os
import signal
import subprocess
import unittest

import flyte
import flyte.remote
from flyte.models import ActionPhase
from rig import HERE, OnServer, finish, output, start, until

import programs_failures as programs

SITES = """
kind: site
name: first
simulates: the first
capacity: {cpu: 8, memory: 8Gi}
prices: {cpu_hour: 0.01}
---
kind: site
name: second
simulates: the second
capacity: {cpu: 8, memory: 8Gi}
prices: {cpu_hour: 5}
"""


def wrapper(server, run, path, words):
    """The process that looks after that of an action, once that has said these words; none before."""
    said = any(words in line for line in server.log(run.name, path))
    return server.wrapper(run.name, path) if said else None


class Told(OnServer):
    def test_a_parent_is_told_the_class_and_the_code(self):
        expected = [
            "OOMError OOMKilled",
            "MaxRuntimeExceededError MaxRuntimeExceededError",
            "InvalidImageNameError InvalidImageName",
            "RuntimeUserError ProcessFailed",
            "RuntimeUserError KeyError",
        ]
        self.assertEqual(output(programs.is_told), expected)

    def test_a_client_is_told_the_code_and_the_phase(self):
        expected = [
            (ActionPhase.FAILED, "OOMKilled"),
            (ActionPhase.TIMED_OUT, "MAX_RUNTIME_EXCEEDED"),
            (ActionPhase.FAILED, "InvalidImageName"),
            (ActionPhase.FAILED, "ProcessFailed"),
            (ActionPhase.FAILED, "KeyError"),
        ]
        runs = [finish(run) for run in [start(task) for task in programs.WRONG]]
        self.assertEqual([(run.phase, run.details().action_details.error_info.code) for run in runs], expected)

    def test_one_action_is_aborted_and_its_parent_goes_on(self):
        run = start(programs.loses_one_to_a_person)
        child = lambda: [a["path"] for a in self.server.actions(run.name) if a["path"] != "a0" and a["phase"] == "running"]  # noqa: E731
        name = until("the child", child)[0]
        flyte.remote.Action.get(run_name=run.name, name=name).abort(reason="it takes too long")
        finish(run)
        self.assertEqual(run.outputs()[0], "ActionAbortedError, and 2")
        details = flyte.remote.ActionDetails.get(run_name=run.name, name=name)
        self.assertEqual(details.pb2.abort_info.reason, "it takes too long")


class Exceptions(unittest.TestCase):
    def test_the_client_has_an_exception_for_every_kind_of_failure(self):
        """What a parent is told when all repeats of the platform are used up is the same as of anything else: a kind and a code."""
        from flyte._internal.runtime.convert import convert_error_to_native
        from flyteidl2.core import execution_pb2

        told = json.loads((HERE / "told.json").read_text())
        native = lambda said: convert_error_to_native(execution_pb2.ExecutionError(code=said["code"], kind=said["kind"], message="so it is"))  # noqa: E731
        found = {kind: f"{type(native(said)).__name__} {native(said).code}" for kind, said in told.items()}
        expected = {
            "cancelled": "RuntimeUnknownError Unknown",
            "child": "RuntimeUserError ProcessFailed",
            "disk_full": "RuntimeSystemError DiskFull",
            "environment": "RuntimeSystemError EnvironmentFailed",
            "expression": "RuntimeUnknownError Unknown",
            "node_lost": "RuntimeSystemError NodeLost",
            "oom": "OOMError OOMKilled",
            "output": "RuntimeUserError OutputInvalid",
            "outside": "RuntimeUnknownError Unknown",
            "preempted": "TaskInterruptedError Interrupted",
            "quota": "RuntimeUserError QuotaExceeded",
            "refused": "RuntimeUserError PolicyRefused",
            "site_down": "RuntimeSystemError SiteDown",
            "timeout": "MaxRuntimeExceededError MaxRuntimeExceededError",
            "transfer": "RuntimeSystemError TransferFailed",
            "unknown": "RuntimeUnknownError Unknown",
            "user": "RuntimeUserError ProcessFailed",
        }
        self.assertEqual(found, expected)


class LostProcesses(OnServer):
    """Where nothing is kept from a process it can end what looks after it."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        path = cls.server.folder / "site.yaml"
        path.write_text("kind: site\nname: open\ncapacity: {cpu: 8, memory: 8Gi}\nsandbox: off\n")
        LostSites.tutti.__func__(cls, "apply", "-f", path)
        for site in cls.server.get("/sites"):
            if site["name"] != "open":
                LostSites.tutti.__func__(cls, "site", "cordon", site["name"])

    def test_a_lost_process_is_the_systems_business_until_its_deadline(self):
        run = finish(start(programs.knows_nothing_of_losses))
        self.assertEqual(run.outputs()[0], ["2", "DeadlineExceededError"])
        attempts = {action["path"]: action["attempts"] for action in self.server.actions(run.name)}
        self.assertEqual((attempts.pop("a0"), len(attempts)), (1, 2))
        self.assertTrue(all(count >= 2 for count in attempts.values()), attempts)


class LostSites(OnServer):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        path = cls.server.folder / "sites.yaml"
        path.write_text(SITES)
        cls.tutti("apply", "-f", path)
        for site in cls.server.get("/sites"):
            if site["name"] not in ("first", "second"):
                cls.tutti("site", "cordon", site["name"])

    @classmethod
    def tutti(cls, *arguments):
        server = ["--server", f"http://127.0.0.1:{cls.server.port}"]
        done = subprocess.run([os.environ["TUTTI_BIN"], *arguments, *server], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr + done.stdout

    def child_at_work(self, run):
        """The child of a run and the process that looks after it, once it is at work; none before."""
        for action in self.server.actions(run.name):
            if action["path"] != "a0" and action["phase"] == "running":
                process = wrapper(self.server, run, action["path"], "at work")
                return process and (action, process)

    def test_a_child_goes_on_elsewhere_when_its_site_is_lost(self):
        run = start(programs.waits_for_one)
        child, process = until("the child at work", lambda: self.child_at_work(run))
        self.assertEqual(child["site"], "first")
        # Nothing goes there any more, and what it ran dies with the machine: the wrapper of the child, which leaves no record.
        self.tutti("site", "cordon", "first")
        try:
            os.kill(process, signal.SIGKILL)
            finish(run)
            self.assertEqual((run.phase, run.outputs()[0]), (ActionPhase.SUCCEEDED, "1 1 the second"))
        finally:
            self.tutti("site", "uncordon", "first")

    def test_a_drained_site_is_left(self):
        run = start(programs.waits_for_one)
        child, _ = until("the child at work", lambda: self.child_at_work(run))
        self.assertEqual(child["site"], "first")
        self.tutti("site", "drain", "first")
        try:
            finish(run)
            self.assertEqual((run.phase, run.outputs()[0]), (ActionPhase.SUCCEEDED, "1 1 the second"))
        finally:
            self.tutti("site", "uncordon", "first")


class Interrupted(OnServer):
    def marks(self, folder):
        return [int(line) for line in (folder / "marks").read_text().split()]

    def test_steps_are_not_taken_again_after_a_crash_of_the_process(self):
        folder = self.server.shared("crash")
        self.assertEqual(output(programs.takes_steps_and_crashes, folder=str(folder)), 6)
        self.assertEqual(self.marks(folder), [0, 1, 2, 3])

    def test_steps_are_not_taken_again_after_a_crash_of_server_and_process(self):
        folder = self.server.shared("both")
        run = start(programs.takes_steps_and_waits, folder=str(folder))
        process = until("half of it", lambda: wrapper(self.server, run, "a0", "half of it"))
        self.server.kill()
        os.kill(process, signal.SIGKILL)
        self.server.start()
        (folder / "go").touch()
        finish(run)
        self.assertEqual((run.phase, run.outputs()[0]), (ActionPhase.SUCCEEDED, 6))
        self.assertEqual(self.marks(folder), [0, 1, 2, 3])
        self.assertEqual([a["attempts"] for a in self.server.actions(run.name) if a["path"] == "a0"], [2])

    def test_a_process_goes_on_with_its_steps_when_the_server_was_away(self):
        folder = self.server.shared("server")
        run = start(programs.takes_steps_and_waits, folder=str(folder))
        until("half of it", lambda: wrapper(self.server, run, "a0", "half of it"))
        self.server.kill()
        self.server.start()
        (folder / "go").touch()
        finish(run)
        self.assertEqual((run.phase, run.outputs()[0]), (ActionPhase.SUCCEEDED, 6))
        self.assertEqual(self.marks(folder), [0, 1, 2, 3])
        self.assertEqual([a["attempts"] for a in self.server.actions(run.name) if a["path"] == "a0"], [1])


if __name__ == "__main__":
    unittest.main()
