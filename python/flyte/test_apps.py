"""Apps of the unmodified SDK: served, called, started again, stopped."""

import json
import os
import socket
import subprocess
import unittest
import urllib.error
import urllib.parse
import urllib.request

import flyte
import flyte.remote
from flyte.remote import App
from rig import HERE, OnServer, Server, output, until

import programs_apps as programs


def ask(url, token=None):
    headers = {"authorization": f"Bearer {token}"} if token else {}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20) as answer:
        return json.load(answer)


def refusal(url, token=None):
    try:
        ask(url, token)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    return 200


def stop_all():
    """The processes of apps go on when the server stops."""
    for app in App.listall():
        app.deactivate(wait=True)


class Apps(OnServer):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.app = flyte.serve(programs.served)

    @classmethod
    def tearDownClass(cls):
        stop_all()
        super().tearDownClass()

    @classmethod
    def tutti(cls, *arguments):
        server = ["--server", f"http://127.0.0.1:{cls.server.port}"]
        return subprocess.run([os.environ["TUTTI_BIN"], *arguments, *server], capture_output=True, text=True)

    def score(self):
        return ask(f"{App.get('scores').endpoint}/score/21")

    def active(self, name="scores"):
        return until(f"{name} to be active", lambda: (app := App.get(name)).is_active() and app)

    def test_a_fastapi_app_answers_through_its_door(self):
        self.active()
        self.assertEqual(self.score()["score"], 42)
        self.assertEqual(output(programs.asks_the_app, x=4), 8)
        shown = self.tutti("get", "apps").stdout
        self.assertIn("acceptance/development/scores", shown)
        self.assertIn("active", shown)
        run = App.get("scores")
        logs = self.server.log(self.view("scores")["run"], "a0")
        self.assertTrue(any("scoring 21" in line for line in logs), logs)
        self.assertIn("scores", [app.name for app in App.listall()])
        self.assertEqual(run.revision, App.get("scores").revision)

    def view(self, name):
        return next(app for app in self.server.get("/apps") if app["name"].endswith(f"/{name}"))

    def test_two_apps_that_name_the_same_port_do_not_meet(self):
        other = flyte.serve(programs.beside)
        self.active()
        self.assertEqual(ask(other.endpoint), "the other one")
        self.assertEqual(self.score()["score"], 42)
        self.assertNotEqual(other.endpoint, App.get("scores").endpoint)

    def test_what_passes_holds_no_token(self):
        app = self.active()
        seen = ask(f"{app.endpoint}/headers", token="x.y")
        self.assertNotIn("authorization", seen)
        self.assertEqual(refusal(f"{app.endpoint}/nowhere"), 404)

    def test_one_that_crashes_is_started_again(self):
        self.active()
        before = self.score()["pid"]
        with self.assertRaises(Exception):
            ask(f"{App.get('scores').endpoint}/crash")
        def back():
            try:
                return self.score()["pid"] != before
            except OSError:
                return False
        until("it to be back", back)

    def test_a_restarted_server_finds_its_apps(self):
        self.active()
        before = self.score()
        self.server.kill()
        self.server.start()
        self.active()
        # The app is known before its door is open again.
        until("its door", self.answers)
        self.assertEqual(self.score()["pid"], before["pid"], "the process went on")

    def test_a_port_that_something_else_took_while_the_server_was_down_is_left_to_it(self):
        old = self.active().endpoint
        self.server.kill()
        with socket.create_server(("127.0.0.1", urllib.parse.urlparse(old).port)):
            self.server.start()
            moved = until("another port", lambda: (url := App.get("scores").endpoint) != old and url)
            self.active()
            until("its door", self.answers)
            self.assertIn(moved, self.tutti("get", "apps").stdout)
        # It stays there.
        self.assertEqual(self.score()["score"], 42)
        self.assertEqual(App.get("scores").endpoint, moved)

    def answers(self):
        try:
            return self.score()
        except urllib.error.URLError:
            return None

    def test_a_command_is_told_another_port(self):
        app = flyte.serve(programs.plain)
        with urllib.request.urlopen(app.endpoint) as answer:
            self.assertIn(b"Directory listing", answer.read())
        # Stopped by the client, started by the command line, taken away.
        app.deactivate(wait=True)
        self.assertEqual(refusal(app.endpoint), 503)
        self.assertTrue(App.get("plain").is_deactivated())
        started = self.tutti("app", "start", "acceptance/development/plain")
        self.assertEqual(started.returncode, 0, started.stderr)
        self.active("plain")
        self.assertEqual(self.tutti("app", "stop", "acceptance/development/plain").returncode, 0)
        until("it to be stopped", lambda: App.get("plain").is_deactivated())
        App.delete("plain")
        self.assertNotIn("plain", [app.name for app in App.listall()])

    def test_deploying_the_same_again_changes_nothing(self):
        self.active()
        before = App.get("scores").revision
        flyte.deploy(programs.served)
        self.assertEqual(App.get("scores").revision, before)

    def test_one_that_never_comes_up_says_why(self):
        app = flyte.deploy(programs.broken)
        self.assertIsNotNone(app)
        until("a reason", lambda: "exit code 7" in self.view("broken")["why"])
        self.tutti("app", "stop", "acceptance/development/broken")


class Guarded(unittest.TestCase):
    """On a server with tokens an app wants one too, unless it says otherwise."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.server.start()
        cls.server.token = cls.server.make_token("admin", ["admin"])
        cls.runs, cls.reads = cls.server.make_token("ci", ["run", "read"]), cls.server.make_token("looks", ["read"])
        flyte.init(
            endpoint=f"dns:///localhost:{cls.server.port}/flyte/as/{cls.runs}", insecure=True, org="tutti", project="acceptance",
            domain="development", root_dir=HERE, image_builder="remote",
        )  # fmt: skip
        cls.apps = {name: flyte.serve(env) for name, env in (("open", programs.served), ("guarded", programs.beside))}

    @classmethod
    def tearDownClass(cls):
        stop_all()
        cls.server.stop()

    def test_who_may_call(self):
        self.assertEqual(ask(f"{self.apps['open'].endpoint}/score/2")["score"], 4)
        guarded = self.apps["guarded"].endpoint
        self.assertEqual(refusal(guarded), 401)
        self.assertEqual(refusal(guarded, "ci." + "0" * 64), 401)
        self.assertEqual(refusal(guarded, self.reads), 403)
        self.assertEqual(ask(guarded, self.runs), "the other one")
        self.assertEqual(ask(f"{self.apps['open'].endpoint}/headers", self.runs)["x-tutti-principal"], "ci")


if __name__ == "__main__":
    unittest.main()
