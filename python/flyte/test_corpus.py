"""What the examples of the SDK do beyond the other tests here."""

import unittest

import flyte
import flyte.remote
from flyte.models import ActionPhase
from rig import OnServer, finish, output, start

import programs_corpus as programs


class Corpus(OnServer):
    def children(self, run):
        return sorted(action.name for action in flyte.remote.Action.listall(for_run_name=run.name) if action.name != "a0")

    def test_children_have_the_same_names_in_every_run(self):
        one, other = (finish(start(programs.same_names, n=4)) for _ in range(2))
        self.assertEqual(len(self.children(one)), 4)
        self.assertEqual(self.children(one), self.children(other))

    def test_tasks_are_shown_by_the_names_that_they_give_themselves(self):
        run = finish(start(programs.renames_a_child))
        shown = [action.pb2.metadata.task.short_name for action in flyte.remote.Action.listall(for_run_name=run.name)]
        self.assertEqual(sorted(shown), ["again", "count-to-three", "renames_a_child"])
        self.assertEqual(finish(start(programs.with_a_short_name)).action.pb2.metadata.task.short_name, "count-to-three")

    def test_groups_are_told_to_the_client(self):
        run = finish(start(programs.in_groups, n=3))
        self.assertEqual(run.outputs()[0], 12)
        groups = [action.pb2.metadata.group for action in flyte.remote.Action.listall(for_run_name=run.name) if action.name != "a0"]
        self.assertEqual(sorted(groups), ["first"] * 3 + ["second"] * 3)

    def test_a_context_of_the_program_goes_down(self):
        run = flyte.with_runcontext(disable_run_cache=True, custom_context={"who": "root"}).run(programs.contexts)
        self.assertEqual(finish(run).outputs()[0], ["who=root", "step=inner,who=root"])

    def test_unions_from_the_client(self):
        self.assertEqual(output(programs.either, value=3), 3)
        self.assertEqual(output(programs.either, value="x"), "str")
        self.assertEqual(output(programs.either, value=[1]), "list")

    def test_files_are_written_over_and_streamed(self):
        self.assertEqual(output(programs.overwrites), "True two")
        self.assertEqual(output(programs.streams), "by the stream")

    def test_many_traces_of_both_kinds(self):
        self.assertEqual(output(programs.sync_traces, n=50), sum(range(50)) * 2)
        run = finish(start(programs.traces_at_once, n=1_000))
        self.assertEqual(run.outputs()[0], sum(range(1_000)))
        self.assertEqual(len(self.children(run)), 1_000)

    def test_children_that_crash_are_all_noticed(self):
        self.assertEqual(output(programs.crashing, n=11), 11)

    def test_a_child_that_had_too_little_memory_is_given_more(self):
        self.assertEqual(output(programs.more_after_oom), "OOMKilled 600")

    def test_the_same_work_at_the_same_time_is_done_once(self):
        folder = self.server.shared("serial")
        runs = [finish(start(programs.twice_at_once, folder=str(folder))) for _ in range(2)]
        self.assertEqual([run.outputs()[0] for run in runs], [[5, 5, 5]] * 2)
        self.assertEqual((folder / "ran").read_text(), "x")

    def test_words_of_a_program_are_in_its_log(self):
        run = finish(start(programs.says_things))
        self.assertEqual(run.phase, ActionPhase.SUCCEEDED)
        self.assertIn("a word of the program", self.server.log(run.name, "a0"))
        with self.server.call(f"/api/v1/runs/{run.name}/logs?path=a0&stream=stderr") as answer:
            self.assertIn("WARNING a word of the logger of the SDK", answer.read().decode())


if __name__ == "__main__":
    unittest.main()
