"""Streams that are large, or read slowly, or by nobody; and whom the processes of tasks call."""

import http.client
import os
import subprocess
import sys
import unittest

from flyteidl2.common import identifier_pb2
from flyteidl2.dataproxy import dataproxy_service_pb2
from rig import HERE, OnServer, finish, output, start

import programs_streams as programs

TAIL = "/flyteidl2.dataproxy.DataProxyService/TailLogs"
LINES = 25_000
# What the SDK reports errors to, unless it is told otherwise.
MAKERS = "sentry.io"


class Streams(OnServer):
    def tail(self, run):
        """The stream of a log, yet to be read, as the SDK asks for it."""
        name = identifier_pb2.RunIdentifier(project="acceptance", domain="development", org="tutti", name=run.name)
        action = identifier_pb2.ActionIdentifier(run=name, name="a0")
        request = dataproxy_service_pb2.TailLogsRequest(action_id=action, attempt=1).SerializeToString()
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port)
        connection.request("POST", TAIL, bytes([0]) + len(request).to_bytes(4, "big") + request, {"content-type": "application/connect+proto", "connect-protocol-version": "1"})
        return connection, connection.getresponse()

    def messages(self, answer):
        """The messages of a stream up to its last, which says how it ended."""
        while True:
            head = answer.read(5)
            self.assertEqual(len(head), 5, "the stream ends without a word")
            body = answer.read(int.from_bytes(head[1:], "big"))
            if head[0] & 2:
                self.assertEqual(body, b"{}")
                return
            yield dataproxy_service_pb2.TailLogsResponse.FromString(body)

    def test_a_log_of_many_megabytes_is_told_whole_to_who_reads_it_slowly(self):
        run = finish(start(programs.says_much, lines=LINES))
        self.assertEqual(run.outputs()[0], LINES)
        # Nobody reads these: whoever asks for something else does not wait for them.
        ignored = [self.tail(run) for _ in range(8)]
        connection, answer = self.tail(run)
        lines = []
        for number, message in enumerate(self.messages(answer)):
            lines += [line.message.rstrip("\n") for logs in message.logs for line in logs.lines]
            if number % 20 == 0:
                # In between it does something else.
                self.assertEqual(self.server.get(f"/runs/{run.name}")["phase"], "succeeded")
        said = [line for line in lines if line[:8].isdigit()]
        self.assertEqual(said, [f"{number:08} {'x' * 240}" for number in range(LINES)])
        self.assertEqual(output(programs.says_much, lines=1), 1)
        for connection, answer in [*ignored, (connection, answer)]:
            answer.close()
            connection.close()


class Calls(OnServer):
    def test_no_process_of_a_task_calls_its_makers(self):
        called = output(programs.looks_whom_it_calls)
        self.assertEqual([whom for whom in called if MAKERS in whom], [])
        self.assertIn("somebody.invalid", called, "whoever looks sees what there is")

    def test_whoever_looks_would_see_them(self):
        """The same without the variables: it calls them, as far as the network goes."""
        asked = """
import asyncio
import programs_streams as programs
from flyte import _sentry
_sentry.init()
try:
    raise ValueError("no")
except ValueError as error:
    _sentry.capture_exception(error)
print(programs.CALLED)
"""
        environment = {name: value for name, value in os.environ.items() if name not in ("DO_NOT_TRACK", "FLYTE_DISABLE_SENTRY", "FLYTE_DISABLE_TELEMETRY")}
        # Nobody is there: it is looked whom it would call.
        environment.update(HTTPS_PROXY="http://127.0.0.1:9", https_proxy="http://127.0.0.1:9")
        done = subprocess.run([sys.executable, "-c", asked], cwd=HERE, env=environment, capture_output=True, text=True)
        self.assertRegex(done.stdout, "127.0.0.1|sentry.io", done.stderr)


if __name__ == "__main__":
    unittest.main()
