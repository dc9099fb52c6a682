"""What becomes of programs when the server or the client is killed, and of calls that nobody of good will makes."""

import gzip
import json
import os
import subprocess
import sys
import unittest

import flyte
import flyte.remote
from flyte.models import ActionPhase
from rig import HERE, OnServer, finish, start, until

import programs_robust as programs

CREATE = "/flyteidl2.workflow.RunService/CreateRun"
WATCH = "/flyteidl2.actions.ActionsService/WatchForUpdates"
CLIENT = """
import sys
sys.path.insert(0, {here!r})
import types
from rig import connect, flyte
import programs_robust as programs
connect(types.SimpleNamespace(port={port}))
run = flyte.with_runcontext(name="retried", disable_run_cache=True).run(programs.leaves_a_mark, x=7, folder={folder!r})
print("started", flush=True)
run.wait(quiet=True)
"""


class Disturbed(OnServer):
    def test_a_killed_server_with_fifty_children_under_way(self):
        folder = self.server.shared("fifty")
        run = start(programs.many, n=50, folder=str(folder))
        phases = lambda: [action["phase"] for action in self.server.actions(run.name)]  # noqa: E731
        until("all children, some of which have ended", lambda: len(phases()) == 51 and "succeeded" in phases())
        self.server.kill()
        self.server.start()
        finish(run)
        self.assertEqual((run.phase, run.outputs()[0]), (ActionPhase.SUCCEEDED, sum(range(50))))
        marks = sorted(int(line) for line in (folder / "marks").read_text().split())
        self.assertEqual(marks, list(range(50)), "none ran to its end twice")
        self.assertEqual({action["phase"] for action in self.server.actions(run.name)}, {"succeeded"})

    def test_a_server_killed_before_the_children_have_read_their_inputs(self):
        """Their processes find nobody to ask, and what becomes of that is not held against them."""
        folder = self.server.shared("early")
        run = start(programs.many, n=8, folder=str(folder))
        until("children that are begun", lambda: [a["phase"] for a in self.server.actions(run.name)].count("running") >= 2)
        self.server.kill()
        # The SDK asks again for a while before it gives up; the parent goes on asking.
        until("the end of the children that began", lambda: len(self.server.under_way()) == 1, patience=600)
        self.server.start()
        finish(run)
        ended = [(action["phase"], action.get("failure")) for action in self.server.actions(run.name)]
        self.assertEqual(run.phase, ActionPhase.SUCCEEDED, ended)
        self.assertEqual(run.outputs()[0], sum(range(8)))
        self.assertEqual(sorted(int(line) for line in (folder / "marks").read_text().split()), list(range(8)))

    def test_a_client_that_is_killed_and_starts_again_makes_one_run(self):
        folder = self.server.shared("once")
        program = CLIENT.format(here=str(HERE), port=self.server.port, folder=str(folder))
        client = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        until("the run", lambda: "retried" in [run["name"] for run in self.server.get("/runs")["items"]])
        client.kill()
        client.communicate()
        again = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        self.assertIn("exists", again.stderr)
        run = finish(flyte.remote.Run.get(name="retried"))
        self.assertEqual(run.outputs()[0], 7)
        self.assertEqual((folder / "marks").read_text(), "7\n")
        self.assertEqual(len([run for run in self.server.get("/runs")["items"] if run["name"] == "retried"]), 1)


class Strange(OnServer):
    def refused(self, path, body, **headers):
        """The code of the error that a call is answered with."""
        status, answer = self.server.send(path, body, **headers)
        if headers.get("content-type") == "application/connect+proto":
            # The stream begins and says what is wrong at its end.
            self.assertEqual((status, answer[0]), (200, 2), answer)
            self.assertEqual(len(answer) - 5, int.from_bytes(answer[1:5], "big"))
            return json.loads(answer[5:])["error"]["code"]
        self.assertGreaterEqual(status, 400)
        return json.loads(answer)["code"]

    def test_calls_that_are_none_are_answered_with_errors_of_connect(self):
        proto, stream = {"content-type": "application/proto"}, {"content-type": "application/connect+proto"}
        packed = {**proto, "content-encoding": "gzip"}
        envelope = lambda flag, body, size=None: bytes([flag]) + (len(body) if size is None else size).to_bytes(4, "big") + body  # noqa: E731
        bomb = gzip.compress(b"\0" * (64 << 20))
        for path, body, headers, code in [
            (CREATE, b"\xff\xff\xff", proto, "invalid_argument"),
            (CREATE, b"", proto, "invalid_argument"),
            (CREATE, b"{}", {"content-type": "application/json"}, "invalid_argument"),
            (CREATE, b"no gzip", packed, "invalid_argument"),
            (CREATE, gzip.compress(b"\x0a\x04whole")[:-9], packed, "invalid_argument"),
            (CREATE, b"x", {**proto, "content-encoding": "br"}, "unimplemented"),
            (CREATE, bomb, packed, "resource_exhausted"),
            (CREATE, b"\0" * (20 << 20), proto, "resource_exhausted"),
            (WATCH, b"", stream, "invalid_argument"),
            (WATCH, b"\0\0", stream, "invalid_argument"),
            (WATCH, envelope(0, b"\xff\xff"), stream, "invalid_argument"),
            (WATCH, envelope(0, b"abc", size=1 << 30), stream, "invalid_argument"),
            (WATCH, envelope(1, b"no gzip"), stream, "invalid_argument"),
            (WATCH, envelope(1, bomb), stream, "resource_exhausted"),
        ]:
            self.assertEqual(self.refused(path, body, **headers), code, (path, body[:20], headers))
        # Nothing of it did any harm.
        self.assertEqual(finish(start(programs.nothing, x=3)).outputs()[0], 3)


class Wide(OnServer):
    def test_hundreds_of_children_that_share_processes(self):
        """The number of the issue is five thousand: that is measured by `speed.py`, and run by the test below."""
        run = finish(start(programs.wide_kept, n=400))
        self.assertEqual((run.phase, run.outputs()[0]), (ActionPhase.SUCCEEDED, sum(range(400))))
        shown = self.server.get(f"/runs/{run.name}?actions=1")
        self.assertEqual((shown["actions_total"], shown["actions_done"]), (401, 401))
        self.assertEqual(len(list(flyte.remote.Action.listall(for_run_name=run.name))), 401)


@unittest.skipUnless(os.environ.get("TUTTI_FLYTE_LONG"), "takes long: TUTTI_FLYTE_LONG=1")
class Long(OnServer):
    def test_five_thousand_children(self):
        run = finish(start(programs.wide, n=5_000))
        self.assertEqual((run.phase, run.outputs()[0]), (ActionPhase.SUCCEEDED, sum(range(5_000))))


if __name__ == "__main__":
    unittest.main()
