"""Runs that are repeated, and runs that take what succeeded in an earlier one."""

import time
import unittest
from pathlib import Path

import flyte
import flyte.remote
from flyte.models import ActionPhase
from rig import OnServer, finish, start

import programs_recovering as programs


def repeat(run, **how):
    return finish(flyte.with_runcontext(disable_run_cache=True).rerun(run.name, **how))


def phases(run):
    """The phases of the actions of a run by what they run, as the client sees them."""
    found = {}
    for action in flyte.remote.Action.listall(for_run_name=run.name):
        name = action.pb2.metadata.trace.name or action.pb2.metadata.task.short_name
        found.setdefault(name, []).append(action.phase)
    return {name: sorted(phases) for name, phases in found.items()}


class Recovering(OnServer):
    def failed(self, name):
        """A run that failed in its last part, and the file that it wants."""
        mark = self.server.shared(name) / "mended"
        run = finish(start(programs.whole, mark=str(mark)))
        self.assertEqual(run.phase, ActionPhase.FAILED)
        return run, mark

    def test_what_succeeded_is_taken_and_the_rest_is_done(self):
        failed, mark = self.failed("one")
        mark.touch()
        before = time.time()
        run = repeat(failed, recover=True)
        self.assertEqual(run.phase, ActionPhase.SUCCEEDED)
        one, two, own, last, _ = run.outputs()[0]
        self.assertTrue(max(one, two, own) < before < last, "also the step that the program took by itself")
        recovered, done = [ActionPhase.RECOVERED], [ActionPhase.SUCCEEDED]
        self.assertEqual(phases(run), {"whole": done, "stamp": recovered * 2, "step": recovered, "needs": done})
        attempts = {action["path"]: action["attempts"] for action in self.server.actions(run.name)}
        self.assertEqual(sorted(attempts.values()), [0, 0, 0, 1, 1])
        details = flyte.remote.Run.get(name=run.name).details().action_details
        self.assertEqual(details.relation.related_to.name, failed.name)
        taken = [action.pb2 for action in flyte.remote.Action.listall(for_run_name=run.name) if action.phase == ActionPhase.RECOVERED]
        self.assertEqual({action.metadata.recovered_from.run.name for action in taken}, {failed.name})
        # What was taken can be taken again.
        again = repeat(run, recover=True)
        self.assertEqual((again.phase, again.outputs()[0]), (ActionPhase.RECOVERED, run.outputs()[0]))

    def test_what_is_named_is_done_again(self):
        failed, mark = self.failed("two")
        mark.touch()
        again = next(a.name for a in flyte.remote.Action.listall(for_run_name=failed.name) if a.pb2.metadata.task.short_name == "stamp")
        before = time.time()
        run = repeat(failed, recover=True, force_rerun_actions=[again])
        self.assertEqual(sorted(stamp > before for stamp in run.outputs()[0][:3]), [False, False, True])
        self.assertEqual(phases(run)["stamp"], sorted([ActionPhase.RECOVERED, ActionPhase.SUCCEEDED]))

    def test_other_inputs_are_those_of_the_root_and_what_it_asks_for_is_taken(self):
        failed, mark = self.failed("three")
        mark.touch()
        before = time.time()
        run = repeat(failed, recover=True, x=2)
        self.assertEqual(run.phase, ActionPhase.SUCCEEDED)
        self.assertLess(max(run.outputs()[0][:3]), before)
        # With the same inputs there is nothing left to do; with others the root is done again.
        self.assertEqual(repeat(run, recover=True, x=2).phase, ActionPhase.RECOVERED)
        self.assertEqual(repeat(run, recover=True, x=3).phase, ActionPhase.SUCCEEDED)

    def test_a_rerun_does_everything_again(self):
        first = finish(start(programs.single, x=1))
        run = repeat(first)
        self.assertEqual(run.phase, ActionPhase.SUCCEEDED)
        self.assertGreater(run.outputs()[0], first.outputs()[0])
        self.assertEqual(flyte.remote.Run.get(name=run.name).details().action_details.relation.related_to.name, first.name)

    def test_a_run_that_is_not_there_is_not_recovered(self):
        first = finish(start(programs.single, x=1))
        details = first.details()
        spec = details.pb2.run_spec
        spec.relation.related_to.CopyFrom(details.action_details.pb2.id.run)
        spec.relation.related_to.name = "nothing"
        spec.relation.relation_type = 2
        with self.assertRaisesRegex(Exception, "there is no run"):
            submit(details, spec)
        spec.relation.related_to.name = first.name
        spec.relation.related_to.project = "elsewhere"
        with self.assertRaisesRegex(Exception, "another project"):
            submit(details, spec)


def submit(details, spec):
    """The same run again, with what its specification says changed."""
    import asyncio

    from flyte._initialize import get_client
    from flyteidl2.workflow.run_service_pb2 import CreateRunRequest

    request = CreateRunRequest(task_spec=details.action_details.pb2.task, run_spec=spec)
    request.project_id.name, request.project_id.domain = "acceptance", "development"
    return asyncio.run(get_client().run_service.create_run(request))


if __name__ == "__main__":
    unittest.main()
