"""Where programs run and how long, how their runs are found again, and who is told of their end."""

import json
import os
import ssl
import subprocess
import sys
import tempfile
import threading
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import flyte
import flyte.errors
import flyte.remote
from flyte import notify
from flyte.models import ActionPhase
from rig import OnServer, Server, connect, finish, output, start, until

import programs_running as programs

SITES = """
kind: site
name: big
capacity: {cpu: 4, memory: 4Gi}
attributes: {pool: big}
---
kind: queue
name: big
description: Where there is room.
site: {pool: big}
---
kind: queue
name: no-site
site: {pool: none}
"""


def run_with(task, inputs=None, **how):
    return flyte.with_runcontext(disable_run_cache=True, **how).run(task, **(inputs or {}))


class Running(OnServer):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        path = cls.server.folder / "sites.yaml"
        path.write_text(SITES)
        applied = cls.tutti("apply", "-f", path)
        assert applied.returncode == 0, applied.stderr

    @classmethod
    def tutti(cls, *arguments):
        server = ["--server", f"http://127.0.0.1:{cls.server.port}"]
        return subprocess.run([os.environ["TUTTI_BIN"], *arguments, *server], capture_output=True, text=True)

    def test_a_queue_chooses_the_sites(self):
        run = finish(start(programs.asks_both))
        self.assertEqual(run.outputs()[0], 5)
        sites = [action["site"] for action in self.server.actions(run.name)]
        # The root and the plain child may run anywhere; the other goes to its queue.
        self.assertEqual(sites[2], "big", sites)
        run = finish(run_with(programs.plain, {"x": 1}, queue="big"))
        self.assertEqual([action["site"] for action in self.server.actions(run.name)], ["big"])
        # What the run was sent to holds for children that name none.
        run = finish(run_with(programs.asks_both, queue="big"))
        self.assertEqual({action["site"] for action in self.server.actions(run.name)}, {"big"})

    def test_an_unknown_queue_is_a_clear_error(self):
        with self.assertRaises(Exception) as refused:
            run_with(programs.plain, {"x": 1}, queue="never-declared")
        self.assertIn("there is no queue `never-declared`", str(refused.exception))
        self.assertIn("`big`", str(refused.exception))
        self.assertIn("there is no queue `never-declared`", output(programs.asks_unknown))

    def test_queues_are_shown(self):
        shown = self.tutti("get", "queues", "-o", "name")
        self.assertEqual(shown.stdout.split(), ["big", "no-site"])
        self.assertIn("pool", self.tutti("describe", "queue", "big").stdout)

    def test_runs_are_found_by_their_labels(self):
        one = finish(run_with(programs.plain, {"x": 1}, labels={"team": "ml", "stage": "first try"}))
        other = finish(run_with(programs.plain, {"x": 2}, labels={"team": "ops"}))
        find = lambda **how: {run.name for run in flyte.remote.Run.listall(**how)}  # noqa: E731
        self.assertEqual(find(with_labels={"team": "ml"}), {one.name})
        self.assertEqual(find(with_labels={"team": "ml", "stage": "second"}), set())
        self.assertEqual(find(with_label_keys=["team"]), {one.name, other.name})
        self.assertEqual(find(with_label_keys=["team"], in_phase=("failed",)), set())
        listed = [run for run in flyte.remote.Run.listall(with_label_keys=["stage"])]
        self.assertEqual(dict(listed[0].pb2.labels), {"team": "ml", "stage": "first try"})
        self.assertEqual(self.tutti("get", "runs", "--label", "team=ml", "-o", "name").stdout.split(), [one.name])
        self.assertIn("stage=first try, team=ml", self.tutti("describe", "run", one.name).stdout)
        asked = [Path(sys.executable).with_name("flyte"), "--endpoint", f"dns:///localhost:{self.server.port}", "--insecure"]
        asked += ["--org", "tutti", "get", "run", "--project", "acceptance", "--domain", "development", "--with-label", "team=ml"]
        shown = subprocess.run(asked, capture_output=True, text=True, env={**os.environ, "COLUMNS": "300"})
        self.assertIn(one.name, shown.stdout, shown.stderr)
        self.assertNotIn(other.name, shown.stdout)

    def test_what_is_about_somebody_is_erased_together(self):
        about = lambda subject, **more: {"tutti.dev/subject": subject, **more}  # noqa: E731
        one = finish(run_with(programs.plain, {"x": 1}, labels=about("patient-4711", ward="7")))
        again = finish(flyte.with_runcontext(disable_run_cache=True).rerun(one.name))
        other = finish(run_with(programs.plain, {"x": 2}, labels=about("patient-1")))
        listed = list(flyte.remote.Run.listall(with_label_keys=["ward"]))
        self.assertEqual([dict(run.pb2.labels) for run in listed], [{"ward": "7"}] * 2)
        self.assertEqual(list(flyte.remote.Run.listall(with_label_keys=["tutti.dev/subject"])), [])
        # Folders of attempts that have just ended go meanwhile.
        files = [Path(at, name) for at, _, names in os.walk(self.server.folder / "data") for name in names]
        files = [path for path in files if path.is_file()]
        self.assertEqual([path for path in files if b"patient-4711" in path.read_bytes()], [], "it lies open")
        erased = self.tutti("erase", "--subject", "patient-4711", "-o", "json")
        self.assertEqual(len(json.loads(erased.stdout)["runs"]), 2, erased.stderr)
        gone = {run.name: self.server.get(f"/runs/{run.name}").get("erased") for run in (one, again, other)}
        self.assertEqual(gone, {one.name: "E0023", again.name: "E0023", other.name: None})
        self.assertEqual(other.outputs()[0], 3)

    def test_every_kind_of_timeout_has_its_exception(self):
        expected = ["MaxQueuedTimeExceededError", "DeadlineExceededError", "DeadlineExceededError", "MaxRuntimeExceededError"]
        self.assertEqual(output(programs.errors_of_timeouts), expected)

    def test_the_client_is_told_which_bound_it_was(self):
        run = finish(start(programs.never_placed))
        self.assertEqual(run.phase, ActionPhase.TIMED_OUT)
        error = run.details().action_details.error_info
        self.assertEqual(error.code, "QUEUED_TIMEOUT_EXCEEDED")
        self.assertIn("3s", error.message)


class Receiver:
    """A server that keeps what it is sent."""

    def __init__(self, certificate=None):
        receiver = self
        self.got = []
        self.refuse = 0

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                if receiver.refuse:
                    receiver.refuse -= 1
                    self.send_error(503)
                    return
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.got.append((self.command, self.path, headers, body))
                self.send_response(200)
                self.end_headers()

            do_PUT = do_POST

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        scheme = "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
            scheme = "https"
        self.url = f"{scheme}://localhost:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Notifications(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.certificate = Path(cls.folder.name) / "both.pem"
        made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
        made += ["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"]
        made += ["-keyout", cls.certificate, "-out", f"{cls.certificate}.crt"]
        subprocess.run(made, check=True, capture_output=True)
        with open(cls.certificate, "a") as both:
            both.write(Path(f"{cls.certificate}.crt").read_text())
        cls.server = Server(SSL_CERT_FILE=f"{cls.certificate}.crt")
        cls.server.start()
        connect(cls.server)

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.folder.cleanup()

    def receive(self, certificate=None):
        receiver = Receiver(certificate)
        self.addCleanup(receiver.stop)
        return receiver

    def count(self):
        return len(self.server.get("/runs?workflow=acceptance/notification")["items"])

    def test_webhooks_are_told_of_the_end_that_they_ask_for(self):
        receiver = self.receive()
        failed, well = ActionPhase.FAILED, ActionPhase.SUCCEEDED
        told = (
            notify.Webhook(on_phase=failed, url=f"{receiver.url}/{{{{.Run.Name}}}}", method="PUT", headers={"X-Key": "k"}),
            notify.Slack(on_phase=(failed, well), webhook_url=f"{receiver.url}/slack", message="{{.Run.Name}} is {{.Phase}}"),
            notify.Teams(on_phase=well, webhook_url=f"{receiver.url}/teams"),
        )
        receiver.refuse = 1
        before = self.count()
        run = finish(run_with(programs.says_no, notifications=told))
        until("both messages", lambda: len(receiver.got) == 2)
        by_path = {path: (method, headers, json.loads(body)) for method, path, headers, body in receiver.got}
        method, headers, body = by_path[f"/{run.name}"]
        self.assertEqual((method, headers["x-key"]), ("PUT", "k"))
        wanted = {"run": run.name, "project": "acceptance", "domain": "development", "phase": "failed"}
        self.assertEqual({key: body[key] for key in wanted}, wanted)
        self.assertIn('it said "no"', body["error"])
        self.assertEqual(by_path["/slack"][2], {"text": f"{run.name} is failed"})
        # What told of it is work like any other.
        self.assertEqual(self.count() - before, 2)

    def test_an_end_is_told_although_the_server_was_down(self):
        receiver = self.receive()
        told = notify.Webhook(on_phase=ActionPhase.SUCCEEDED, url=f"{receiver.url}/done")
        run = run_with(programs.waits, {"seconds": 6.0}, notifications=told)
        # A process that has not read its inputs yet would find no server.
        until("the task at work", lambda: "at work" in self.server.log(run.name, self.server.actions(run.name)[0]["path"]))
        self.server.kill()
        self.server.start()
        finish(run)
        self.assertEqual(run.phase, ActionPhase.SUCCEEDED)
        until("the message", lambda: receiver.got)
        self.assertEqual(json.loads(receiver.got[0][3])["phase"], "succeeded")

    def test_messages_go_over_tls_to_whom_the_machine_trusts(self):
        receiver = self.receive(self.certificate)
        told = notify.Webhook(on_phase=ActionPhase.SUCCEEDED, url=f"{receiver.url}/done")
        finish(run_with(programs.plain, {"x": 1}, notifications=told))
        until("the message", lambda: receiver.got)

    def test_what_could_not_be_told_is_refused_before_the_run(self):
        phase = ActionPhase.FAILED
        for told, words in [
            (notify.Email(on_phase=phase, recipients=["a@example.com"]), "sends no mail"),
            (notify.NamedDelivery(on_phase=phase, name="oncall"), "`oncall`"),
            (notify.NamedRule("everybody"), "`everybody`"),
        ]:
            with self.assertRaises(Exception) as refused:
                run_with(programs.plain, {"x": 1}, notifications=told)
            self.assertIn(words, str(refused.exception))


if __name__ == "__main__":
    unittest.main()
