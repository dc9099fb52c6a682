"""Sites that have a door of their own for values and logs: the unmodified client asks there."""

import os
import socket
import socketserver
import subprocess
import threading
import unittest

import flyte.remote
from rig import OnServer, finish, start

import programs

SITE = """
kind: site
name: clinic
simulates: the clinic
capacity: {{cpu: 4, memory: 8Gi}}
attributes: {{data_endpoint: "dns:///localhost:{port}"}}
"""


class Relay(socketserver.BaseRequestHandler):
    """Hands bytes on to the server, and counts who came."""

    def handle(self):
        self.server.came += 1
        with socket.create_connection(("127.0.0.1", self.server.leads_to)) as there:
            back = threading.Thread(target=self.pour, args=(there, self.request), daemon=True)
            back.start()
            self.pour(self.request, there)
            back.join()

    @staticmethod
    def pour(source, target):
        try:
            while chunk := source.recv(65536):
                target.sendall(chunk)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass


class Clusters(OnServer):
    def test_values_and_logs_are_asked_for_beside_the_site(self):
        relay = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Relay)
        relay.daemon_threads, relay.came, relay.leads_to = True, 0, self.server.port
        threading.Thread(target=relay.serve_forever, daemon=True).start()
        try:
            here = finish(start(programs.square, x=3))
            self.assertEqual(here.outputs()[0], 9)
            self.assertEqual(relay.came, 0, "a site without a door of its own is asked for here")
            path = self.server.folder / "site.yaml"
            path.write_text(SITE.format(port=relay.server_address[1]))
            tutti = lambda *words: subprocess.run([os.environ["TUTTI_BIN"], *words, "--server", f"http://127.0.0.1:{self.server.port}"], check=True, capture_output=True)  # noqa: E731
            tutti("apply", "-f", path)
            for site in self.server.get("/sites"):
                if site["name"] != "clinic":
                    tutti("site", "cordon", site["name"])
            there = finish(start(programs.square, x=4))
            self.assertEqual(there.outputs()[0], 16)
            self.assertGreater(relay.came, 0)
            came = relay.came
            self.assertEqual(flyte.remote.Run.get(name=here.name).outputs()[0], 9)
            self.assertEqual(relay.came, came)
        finally:
            relay.shutdown()
            relay.server_close()


if __name__ == "__main__":
    unittest.main()
