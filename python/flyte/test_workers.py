"""The processes that tasks run in: forked from one that has the SDK, kept for others where a program asks for that, started where they
have to be."""

import subprocess
import sys
import unittest
from pathlib import Path

from rig import OnServer, finish, flyte, output, start, until

from flyte.models import ActionPhase

import programs

HOST = Path(__file__).resolve().parents[2] / "crates/flyte/src/host.py"


class Workers(OnServer):
    def test_the_installed_sdk_is_one_that_can_be_forked(self):
        checked = subprocess.run([sys.executable, HOST, "check"], capture_output=True, text=True, check=True)
        self.assertEqual(checked.stdout.strip(), f"ready {flyte.__version__}")

    def test_an_sdk_that_is_not_known_is_not_forked(self):
        asked = f"""
import runpy, sys
import flyte
flyte.__version__ = "99.1.0"
sys.argv = ["host.py", "check"]
runpy.run_path({str(HOST)!r}, run_name="__main__")
"""
        checked = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True)
        self.assertNotEqual(checked.returncode, 0)
        self.assertIn("flyte 99.1.0 is not one of", checked.stderr)

    def test_a_task_is_forked_from_a_process_that_has_the_sdk(self):
        one, other = output(programs.pid), output(programs.pid)
        self.assertIn("host.py", one)
        self.assertNotEqual(one.split()[0], other.split()[0], "each action is a process of its own")

    def test_what_has_to_be_there_before_python_is_started_cold(self):
        seed, found = output(programs.started_cold).split()
        wanted = subprocess.run([sys.executable, "-c", "print(hash('tutti'))"], env={"PYTHONHASHSEED": "7"}, capture_output=True)
        self.assertEqual((seed, found), ("7", wanted.stdout.decode().strip()))

    def test_a_task_does_not_see_what_is_the_servers(self):
        [site] = [site for site in self.server.get("/sites") if site["name"] == "local"]
        if site["sandbox"]["isolation"] != "sandbox":
            self.skipTest(f"this machine cannot hide everything: {site['sandbox']}")
        where = {"data": str((self.server.folder / "data").resolve()), "server": self.server.process.pid}
        # A process that stays is the same for the second.
        for task in (programs.looks_around, programs.looks_around_cold, programs.looks_around_warm, programs.looks_around_warm):
            self.assertEqual(output(task, **where), [], task.name)
            self.assertFalse((self.server.folder / "data/mine").exists(), task.name)

    def test_reusable_tasks_share_a_process_one_after_another(self):
        run = finish(start(programs.one_after_another, n=4))
        self.assertEqual(run.phase, ActionPhase.SUCCEEDED)
        answers = [answer.split() for answer in run.outputs()[0]]
        self.assertEqual(len({process for process, _, _ in answers}), 1, answers)
        self.assertEqual(len({name for _, name, _ in answers}), 4, "each is told of its own action")
        self.assertTrue(all(name == told for _, name, told in answers), answers)
        logs = [line for action in self.server.actions(run.name) for line in self.server.log(run.name, action["path"])]
        for i in range(4):
            self.assertEqual(sum(f"warm {i}" == line for line in logs), 1, logs)
        again = [output(programs.who, x=x).split()[0] for x in (8, 9)]
        self.assertEqual(again[0], again[1], "nor is that of another run another")

    def test_errors_of_reusable_tasks_are_those_of_others(self):
        error = finish(start(programs.breaks, x=1)).details().action_details.error_info
        self.assertEqual((error.code, "warm 1" in error.message), ("ValueError", True))
        error = finish(start(programs.ends_its_process, x=1)).details().action_details.error_info
        self.assertIn("exited with 3", error.message)
        self.assertEqual(len(output(programs.who, x=2).split()), 3, "and the next has a process again")

    def test_a_killed_server_loses_no_reusable_task(self):
        run = start(programs.waits_warm, n=3)
        until("all children", lambda: [a["phase"] for a in self.server.actions(run.name)].count("running") == 4)
        # One that has not read its inputs yet would find no server.
        said = lambda: [line for a in self.server.actions(run.name) for line in self.server.log(run.name, a["path"])]  # noqa: E731
        until("all of them at work", lambda: {f"lingers {i}" for i in range(3)} <= set(said()))
        self.server.kill()
        self.server.start()
        finish(run)
        self.assertEqual(run.outputs()[0], [0, 1, 2])
        actions = self.server.actions(run.name)
        self.assertEqual([(a["phase"], a["attempts"]) for a in actions], [("succeeded", 1)] * 4)

    def test_a_stopped_reusable_task_leaves_nothing_running(self):
        run = start(programs.sleeps_warm)
        mark = f"{self.server.folder}/data"
        begun = until("the process of the task", lambda: sleepers(mark))
        run.abort()
        finish(run)
        self.assertEqual(run.phase, ActionPhase.ABORTED)
        until("its end", lambda: not any(Path(f"/proc/{pid}").exists() for pid in begun))


def sleepers(mark):
    """Processes called `sleep` that belong to attempts of a server."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "comm").read_text() == "sleep\n" and mark in (process / "environ").read_text():
                found.append(process.name)
        except OSError:
            pass
    return found


if __name__ == "__main__":
    unittest.main()
