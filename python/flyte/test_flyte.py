"""Programs of the unmodified Flyte SDK on a real server."""

import json
import unittest
import urllib.error
import urllib.request

from rig import OnServer, finish, flyte, output, start, until

import flyte.remote
from flyte.models import ActionPhase

import programs


class Acceptance(OnServer):
    def test_children_are_actions_of_the_run(self):
        run = finish(start(programs.nested, x=3))
        self.assertEqual(run.outputs()[0], 10)
        actions = self.server.actions(run.name)
        self.assertEqual([(a["phase"], a["attempts"]) for a in actions], [("succeeded", 1)] * 5)
        listed = list(flyte.remote.Action.listall(for_run_name=run.name))
        self.assertEqual({a.name for a in listed}, {a["path"] for a in actions})
        explained = self.server.get(f"/runs/{run.name}/explain")
        items = explained if isinstance(explained, list) else explained["items"]
        self.assertEqual(len(items), 5)

    def test_a_map_over_a_task(self):
        self.assertEqual(output(programs.mapped, n=3), [0, 2, 4])

    def test_dataclasses_and_defaults(self):
        moved = output(programs.shift, p=programs.Point(x=1, y=0.5))
        self.assertEqual((moved.x, moved.y), (2, 2.0))

    def test_retries_count_attempts_and_stop_at_what_is_not_recoverable(self):
        run = finish(start(programs.flaky))
        self.assertEqual(run.outputs()[0], 2)
        self.assertEqual([a["attempts"] for a in self.server.actions(run.name)], [3])
        run = finish(start(programs.hopeless))
        self.assertEqual(run.phase, ActionPhase.FAILED)
        self.assertEqual([a["attempts"] for a in self.server.actions(run.name)], [1])

    def test_errors_keep_their_code(self):
        self.assertEqual(output(programs.catches), "ValueError: on purpose")
        error = finish(start(programs.failing)).details().action_details.error_info
        self.assertEqual((error.code, "on purpose" in error.message), ("ValueError", True))

    def test_a_timeout_is_an_exception_of_the_parent(self):
        self.assertEqual(output(programs.catches_timeout), "MaxRuntimeExceededError")

    def test_an_image_without_an_environment_says_where_one_should_be(self):
        error = finish(start(programs.nowhere)).details().action_details.error_info
        self.assertEqual(error.code, "InvalidImageName")
        self.assertIn("team_nowhere_1", error.message)

    def test_a_cancelled_task_is_stopped_and_the_program_goes_on(self):
        run = finish(start(programs.gives_up))
        self.assertEqual(run.outputs()[0], "gave up")
        self.phases_become(run, ["aborted", "succeeded", "succeeded"])

    def test_an_aborted_run_stops_what_it_asked_for(self):
        run = start(programs.waits_for_sleepers)
        until("the second child", lambda: len(self.server.actions(run.name)) == 3)
        run.abort()
        finish(run)
        self.assertEqual(run.phase, ActionPhase.ABORTED)
        self.phases_become(run, ["aborted"] * 3)

    def test_what_is_remembered_is_not_computed_again(self):
        first = output(programs.twice, x=1)
        self.assertEqual(first[0], first[1])
        self.assertEqual(output(programs.twice, x=1), first, "nor in another run")
        self.assertNotEqual(output(programs.twice, x=2), first)

    def test_traces_are_recorded(self):
        run = finish(start(programs.traced, n=3))
        self.assertEqual(run.outputs()[0], 6)
        self.assertEqual(sorted(a["kind"] for a in self.server.actions(run.name)), ["task", "trace", "trace", "trace"])

    def test_files_and_folders_go_through_the_store(self):
        self.assertEqual(output(programs.files, text="hi"), ["0", "1", "2", "hi"])
        self.assertEqual(output(programs.large, megabytes=24), 24 << 20)

    def test_a_condition_is_in_the_inbox(self):
        run = start(programs.asks)
        waiting = until("the question", lambda: [a for a in self.server.get("/approvals") if a["run"] == run.name])
        self.assertEqual(waiting[0]["title"], "May it?")
        conditions = list(flyte.remote.Condition.listall(run.name))
        self.assertEqual([condition.pb2.metadata.condition.name for condition in conditions], ["approve"])
        conditions[0].signal(True)
        finish(run)
        self.assertEqual(run.outputs()[0], "answered True")

    def test_deployed_tasks_are_found_and_run(self):
        flyte.deploy(programs.env)
        task = flyte.remote.Task.get("acceptance.square", auto_version="latest")
        self.assertEqual(output(task, x=9), 81)
        self.assertIn("acceptance.square", [task.name for task in flyte.remote.Task.listall(project="acceptance")])

    def test_a_name_is_given_once(self):
        named = flyte.with_runcontext(name="mine", disable_run_cache=True)
        finish(named.run(programs.square, x=2))
        with self.assertRaisesRegex(Exception, "exists"):
            flyte.with_runcontext(name="mine", disable_run_cache=True).run(programs.square, x=2)

    def test_a_killed_server_loses_nothing_and_repeats_nothing(self):
        run = start(programs.waits_long, n=5)
        until("all children", lambda: len(self.server.actions(run.name)) == 6)
        self.server.kill()
        self.server.start()
        finish(run)
        actions = self.server.actions(run.name)
        self.assertEqual(run.phase, ActionPhase.SUCCEEDED, f"{run.details().action_details.error_info}\n{actions}")
        self.assertEqual(run.outputs()[0], [0, 1, 2, 3, 4])
        self.assertEqual([(a["phase"], a["attempts"]) for a in actions], [("succeeded", 1)] * 6)

    def test_what_is_no_call_is_refused(self):
        send = self.server.send
        create = "/flyteidl2.workflow.RunService/CreateRun"
        proto = {"content-type": "application/proto"}
        for body, headers in [
            (b"\xff\xff\xff", proto),
            (b"{}", {"content-type": "application/json"}),
            (b"no gzip", {**proto, "content-encoding": "gzip"}),
            (b"", proto),
        ]:
            status, answer = send(create, body, **headers)
            self.assertEqual((status, json.loads(answer)["code"]), (400, "invalid_argument"), answer)
        import gzip

        bomb = gzip.compress(b"\0" * (64 << 20))
        status, answer = send(create, bomb, **proto, **{"content-encoding": "gzip"})
        self.assertEqual((status, json.loads(answer)["code"]), (429, "resource_exhausted"))
        status, answer = send("/flyteidl2.workflow.RunService/Nothing", b"", **proto)
        self.assertEqual(status, 404)

    def test_objects_want_a_signature(self):
        with self.assertRaises(urllib.error.HTTPError) as raised:
            urllib.request.urlopen(f"http://localhost:{self.server.port}/s3/tutti?list-type=2&prefix=")
        with raised.exception as error:
            self.assertEqual(error.code, 403)


if __name__ == "__main__":
    unittest.main()
