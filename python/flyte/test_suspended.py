"""Processes that wait for people are let go, and programs begun again with the answer."""

import collections
import os
import subprocess
import unittest

from flyte.models import ActionPhase
from rig import OnServer, finish, start, until
from test_questions import Asking

import programs_suspended as programs


class Suspended(OnServer, Asking):
    def phase(self, run, path="a0"):
        return next(action["phase"] for action in self.server.actions(run.name) if action["path"] == path)

    def let_go(self, run, path="a0"):
        until(f"{path} of {run.name} without a process", lambda: self.phase(run, path) == "paused")

    def questions(self, run):
        """How many people were ever asked in a run."""
        return [action["kind"] for action in self.server.actions(run.name)].count("human")

    def test_a_process_is_let_go_also_by_a_server_that_is_killed_and_nothing_is_done_twice(self):
        folder = self.server.shared("waits")
        run = start(programs.waits, folder=str(folder))
        self.waiting(run)
        self.let_go(run)
        self.assertEqual(self.server.under_way(), [])
        command = [os.environ["TUTTI_BIN"], "explain", run.name, "a0", "--server", f"http://127.0.0.1:{self.server.port}"]
        said = subprocess.run(command, capture_output=True, text=True).stdout
        self.assertIn("was let go while what it asked for waits for people", said)
        self.server.kill()
        self.server.start()
        self.assertEqual((self.phase(run), self.server.under_way()), ("paused", []))
        self.decide(self.waiting(run)["go"], 7)
        self.assertEqual(finish(run).outputs()[0], [40, 5, 7, 2])
        marks = collections.Counter((folder / "marks").read_text().split())
        # What is no action of its own is done again; tasks and traces are not.
        self.assertEqual(marks, {"begun": 2, "prepared": 1, "stepped": 1})
        # It was no failure, and the client sees two attempts.
        attempts = run.details().action_details.pb2.attempts
        self.assertEqual([attempt.attempt for attempt in attempts], [1, 2])
        command = [os.environ["TUTTI_BIN"], "audit", "verify", "-o", "json", "--server", f"http://127.0.0.1:{self.server.port}"]
        verified = subprocess.run(command, capture_output=True, text=True)
        self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)

    def test_those_above_are_let_go_with_it(self):
        run = start(programs.waits_below)
        asked = self.waiting(run, 2)
        self.let_go(run)
        self.assertEqual(self.server.under_way(), [])
        self.decide(asked["one"], 1)
        # The other goes on waiting, and so does who waits for both.
        until("one of them to end", lambda: [a["phase"] for a in self.server.actions(run.name)].count("succeeded") == 2)
        self.decide(asked["two"], 2)
        self.assertEqual(finish(run).outputs()[0][:2], [1, 2])

    def test_time_that_is_up_and_an_abort_are_told_to_it_too(self):
        run = start(programs.gives_up)
        self.waiting(run)
        self.let_go(run)
        self.assertEqual(finish(run).outputs()[0], ["nobody answered", "2"])
        run = start(programs.gives_up)
        self.waiting(run)
        self.let_go(run)
        run.abort()
        self.phases_become(run, ["aborted"] * 2)

    def test_who_has_something_to_do_or_says_so_keeps_its_process(self):
        keeps, prints = start(programs.keeps_its_process), start(programs.prints_meanwhile)
        asked = [self.waiting(run)["go"] for run in (keeps, prints)]
        # It was begun after both, and is let go before they are.
        other = start(programs.gives_up)
        self.waiting(other)
        self.let_go(other)
        self.assertEqual([self.phase(run) for run in (keeps, prints)], ["running"] * 2)
        for row in asked:
            self.decide(row, 5)
        self.assertEqual([finish(run).outputs()[0] for run in (keeps, prints)], [5, 5], "each in its first attempt")
        other.abort()

    def test_what_is_not_understood_is_said(self):
        run = finish(start(programs.says_nonsense))
        self.assertEqual(run.phase, ActionPhase.FAILED)
        self.assertIn("TUTTI_SUSPEND_AFTER", run.details().action_details.error_info.message)

    def test_programs_that_ask_with_the_plugin_are_let_go_and_ask_nothing_twice(self):
        run = start(programs.asks_with_the_plugin)
        first = self.waiting(run)["amount"]
        self.let_go(run)
        self.decide(first, 21)
        second = until("the second question", lambda: self.waiting(run)["amount"])
        self.assertNotEqual(second["action"], first["action"])
        self.let_go(run)
        self.decide(second, 2)
        self.assertEqual(finish(run).outputs()[0], [21, 2, 3])
        self.assertEqual(self.questions(run), 2)

    def test_an_attempt_after_a_failure_finds_the_answer_of_the_one_before(self):
        run = start(programs.breaks_after_the_answer)
        self.decide(self.waiting(run)["amount"], 4)
        self.assertEqual(finish(run).outputs()[0], [4, 2])
        self.assertEqual(self.questions(run), 1)


if __name__ == "__main__":
    unittest.main()
