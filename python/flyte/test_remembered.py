"""What is remembered of tasks, for children and for roots, in every scope that the SDK knows; and how long what is repeated pauses."""

import unittest

import flyte
from flyte.models import ActionPhase
from rig import OnServer, connect, finish, start

import programs_remembered as programs


def run_with(task, inputs, **how):
    return finish(flyte.with_runcontext(disable_run_cache=True, **how).run(task, **inputs))


def given(task, inputs, **how):
    return run_with(task, inputs, **how).outputs()[0]


class Remembered(OnServer):
    def test_a_root_is_taken_from_what_is_remembered_and_says_so(self):
        first = start(programs.makes, x=1)
        made = finish(first).outputs()[0]
        again = finish(start(programs.makes, x=1))
        self.assertEqual(again.outputs()[0], made)
        [attempt] = again.details().action_details.pb2.attempts
        self.assertEqual(attempt.cache_status, 2, "a hit")
        action = self.server.actions(again.name)[0]
        self.assertEqual((action["phase"], action["attempts"]), ("succeeded", 0))
        self.assertNotEqual(given(programs.makes, {"x": 2}), made, "given something else")
        self.assertNotEqual(given(programs.makes, {"x": 1}, overwrite_cache=True), made, "made anew where that is asked for")
        self.assertNotEqual(given(programs.makes, {"x": 1}), made, "and that is what is remembered from then on")

    def test_every_scope_is_the_domain_of_a_project(self):
        """Tasks read nothing of another project or domain, so that nothing of another one may be taken."""
        for x, task in ((10, programs.makes), (20, programs.asks_for)):
            scopes = [given(task, {"x": x}, cache_lookup_scope=scope) for scope in ("global", "project-domain", "global")]
            self.assertEqual(scopes, [scopes[0]] * 3)
            for place in ({"domain": "production"}, {"project": "another"}):
                try:
                    connect(self.server, **place)
                    self.assertNotEqual(given(task, {"x": x}, cache_lookup_scope="global"), scopes[0], place)
                finally:
                    connect(self.server)

    def test_a_child_is_taken_in_another_run_unless_that_is_not_wanted(self):
        one, two = given(programs.asks_for, {"x": 30})
        self.assertEqual(given(programs.asks_for, {"x": 30}), [one, two])
        anew = given(programs.asks_for, {"x": 30}, overwrite_cache=True)
        self.assertNotIn(one, anew)

    def test_of_those_that_are_asked_for_at_once_one_runs(self):
        folder = self.server.shared("alone")
        runs = [start(programs.makes_alone, x=1, folder=str(folder)) for _ in range(3)]
        self.assertEqual(len({finish(run).outputs()[0] for run in runs}), 1)
        self.assertEqual((folder / "marks").read_text(), "1\n")

    def test_a_failure_is_not_remembered(self):
        messages = {finish(start(programs.breaks, x=1)).details().action_details.error_info.message for _ in range(2)}
        self.assertEqual(len(messages), 2)


class Repeated(OnServer):
    def pauses(self, run):
        """Seconds from the end of each attempt to the beginning of the next, as the server recorded them."""
        seconds = lambda time: time.seconds + time.nanos / 1e9  # noqa: E731
        attempts = run.details().action_details.pb2.attempts
        return [seconds(after.start_time) - seconds(before.end_time) for before, after in zip(attempts, attempts[1:])]

    def test_what_is_repeated_pauses_as_long_as_the_program_says(self):
        run = finish(start(programs.is_repeated_later))
        self.assertEqual((run.phase, run.outputs()[0]), (ActionPhase.SUCCEEDED, 2))
        [attempt] = {len(run.details().action_details.pb2.attempts)}
        self.assertEqual(attempt, 3)
        # Recorded to the microsecond; what comes before the process may make it longer.
        first, second = self.pauses(run)
        self.assertGreater(first, 0.999)
        self.assertGreater(second, 1.999)

    def test_without_a_pause_it_is_repeated_at_once(self):
        run = finish(start(programs.is_repeated_at_once))
        self.assertEqual(run.outputs()[0], 2)
        repeated = [event for event in self.server.get(f"/runs/{run.name}")["actions"] if event["attempts"] == 3]
        self.assertEqual(len(repeated), 1)


if __name__ == "__main__":
    unittest.main()
