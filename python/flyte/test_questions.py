"""Questions of programs to people: conditions of the SDK, and those of its plugin `flyteplugins-hitl`, in the inbox of approvals."""

import http.client
import http.server
import json
import re
import threading
import unittest
import urllib.error
import urllib.parse
import urllib.request

import flyte
import flyte.remote
from flyte.models import ActionPhase
from rig import HERE, OnServer, Server, finish, start, until

import programs_questions as programs

ASSIGNED = """
kind: policy
name: releases
cedar: |
  @id("for-officers")
  @reason("officers answer what releases ask")
  forbid (principal, action == Action::"decide", resource)
  when { resource.kind == "condition" && resource.name like "questions.*/count" }
  unless { principal in Group::"officers" };
"""


class Hook(http.server.BaseHTTPRequestHandler):
    """Keeps what it is told."""

    def do_POST(self):
        self.server.told.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


class Asking:
    def waiting(self, run, count=1):
        """The questions of a run in the inbox, by what they are called."""
        def look():
            rows = [row for row in self.server.get("/approvals") if row["run"] == run.name]
            return len(rows) == count and {row["show"]["condition"]: row for row in rows}

        return until(f"{count} questions of {run.name}", look)

    def decide(self, row, value=None, decision="approve", token=None):
        body = json.dumps({"decision": decision, **({} if value is None else {"form": {"value": value}})}).encode()
        path = f"/api/v1/runs/{row['run']}/decision?path={row['action']}"
        self.server.call(path, body, {"content-type": "application/json"}, token=token).close()


class Conditions(OnServer, Asking):
    def test_answers_have_the_types_that_were_asked_for(self):
        run = start(programs.asks_of_every_type)
        asked = self.waiting(run, 4)
        for condition in flyte.remote.Condition.listall(run.name):
            name = condition.pb2.metadata.condition.name
            if name == "count":
                # Of another type it is refused, and waits on.
                with self.assertRaises(Exception):
                    self.decide(asked["count"], "many")
                condition.signal(7)
            elif name == "sure":
                condition.signal(True)
        self.decide(asked["share"], 0.5)
        self.decide(asked["name"], "Ada")
        self.assertEqual(finish(run).outputs()[0], ["True", "7", "0.5", "'Ada'"])

    def test_one_that_nobody_answers_in_time_times_out(self):
        self.assertEqual(finish(start(programs.gives_up)).outputs()[0], "nobody answered")

    def test_a_rejected_one_is_a_no_or_an_error(self):
        run = start(programs.hears_no)
        self.decide(self.waiting(run)["may"], decision="reject")
        until("the next", lambda: [row for row in self.server.get("/approvals") if row["show"]["condition"] == "many"])
        self.decide(self.waiting(run)["many"], decision="reject")
        self.assertEqual(finish(run).outputs()[0], ["False", "rejected"])

    def test_whoever_is_to_be_told_is_told_once_where_to_answer(self):
        hook = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
        hook.told = []
        threading.Thread(target=hook.serve_forever, daemon=True).start()
        try:
            run = start(programs.tells, url=f"http://127.0.0.1:{hook.server_port}/hook")
            [told] = until("the webhook", lambda: hook.told)
            callback = told["deep"]["list"][0]
            self.assertEqual(told, {"answer": f"at {callback}", "deep": {"list": [callback, 3]}})
            body = json.dumps({"decision": "approve", "form": {"value": 21}}).encode()
            urllib.request.urlopen(urllib.request.Request(callback, body, {"content-type": "application/json"})).close()
            self.assertEqual(finish(run).outputs()[0], 21)
            self.assertEqual(len(hook.told), 1)
        finally:
            hook.shutdown()
            hook.server_close()


class Plugin(OnServer, Asking):
    def test_a_question_is_in_the_inbox_and_its_form_leads_there(self):
        run = start(programs.asks_with_the_plugin)
        row = self.waiting(run)["amount"]
        self.assertEqual(row["title"], "How many?")
        form = until("the address of the form", lambda: re.search(r"the form is at (\S+)", "\n".join(self.server.log(run.name, "a0"))))[1]
        address = urllib.parse.urlparse(form)
        connection = http.client.HTTPConnection(address.netloc)
        connection.request("GET", f"{address.path}?{address.query}")
        self.assertEqual(connection.getresponse().headers["location"], f"/inbox?run={run.name}&action={row['action']}")
        connection.close()
        self.decide(row, 21)
        self.assertEqual(finish(run).outputs()[0], 42)
        # Nothing of the plugin's service was started.
        self.assertEqual([run for run in self.server.get("/runs")["items"] if run["name"].startswith("app-")], [])

    def test_a_program_answers_by_the_address_of_the_plugin(self):
        run = start(programs.asks_with_the_plugin, prompt="And now?")
        row = self.waiting(run)["amount"]
        form = until("the address of the form", lambda: re.search(r"the form is at (\S+)/form/(\S+)\?request_path=(\S+)", "\n".join(self.server.log(run.name, "a0"))))
        response = urllib.parse.unquote(form[3]).replace("request.json", "response.json")
        given = {"request_id": form[2], "data_type": "int", "response_path": response}
        submit = lambda value: self.server.send(f"{form[1].partition(str(self.server.port))[2]}/submit/json", json.dumps({**given, "value": value}).encode(), **{"content-type": "application/json"})  # noqa: E731
        status, said = submit("many")
        self.assertEqual(status, 400, said)
        status, said = submit("4")
        self.assertEqual((status, json.loads(said)["value"]), (200, 4))
        self.assertEqual(finish(run).outputs()[0], 8)
        self.assertEqual(row["title"], "And now?")

    def test_an_answer_is_given_to_who_asked_and_to_nobody_else(self):
        run = start(programs.is_overheard)
        self.decide(self.waiting(run)["amount"], 21)
        self.assertEqual(finish(run).outputs()[0], ["21", "nothing"])

    def test_a_question_that_is_rejected_fails_the_program(self):
        run = start(programs.asks_with_the_plugin, prompt="Still?")
        self.decide(self.waiting(run)["amount"], decision="reject")
        finish(run)
        self.assertEqual(run.phase, ActionPhase.FAILED)
        self.assertIn("response.json", run.details().action_details.error_info.message)


class Assigned(unittest.TestCase, Asking):
    """Rules say who answers which question, by the name of the task and that of the condition."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.server.start()
        cls.server.token = cls.server.make_token("admin", ["admin"])
        with cls.server.call("/api/v1/apply", json.dumps({"documents": [{"path": "rules.yaml", "text": ASSIGNED}]}).encode(), {"content-type": "application/json"}):
            pass
        cls.clerk = cls.server.make_token("clerk", ["read", "approve", "run"])
        cls.officer = cls.server.make_token("officer", ["read", "approve"], groups=["officers"])
        flyte.init(
            endpoint=f"dns:///localhost:{cls.server.port}/flyte/as/{cls.clerk}", insecure=True, org="tutti", project="acceptance",
            domain="development", root_dir=HERE, image_builder="remote",
        )  # fmt: skip

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def test_who_answers_what(self):
        run = start(programs.asks_of_every_type)
        asked = self.waiting(run, 4)
        conditions = {condition.pb2.metadata.condition.name: condition for condition in flyte.remote.Condition.listall(run.name)}
        with self.assertRaisesRegex(Exception, "officers answer"):
            conditions["count"].signal(7)
        with self.assertRaises(urllib.error.HTTPError) as refused:
            self.decide(asked["count"], 7, token=self.clerk)
        self.assertEqual(refused.exception.code, 403)
        refused.exception.close()
        self.decide(asked["count"], 8, token=self.officer)
        self.decide(asked["sure"], False, token=self.clerk)
        conditions["name"].signal("Grace")
        conditions["share"].signal(1.5)
        self.assertEqual(finish(run).outputs()[0], ["False", "8", "1.5", "'Grace'"])


if __name__ == "__main__":
    unittest.main()
