"""The SDK and its tasks at a server that speaks TLS, by a certificate that is for a name alone."""

import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from rig import HERE, Server

CLIENT = """
import sys
sys.path.insert(0, {here!r})
from rig import HERE, finish, flyte, start
import programs
flyte.init(
    endpoint="dns:///localhost:{port}", ca_cert_file_path={authority!r}, auth_type="ClientSecret", client_id={name!r},
    client_credentials_secret={secret!r}, disable_keyring=True, org="tutti", project="acceptance", domain="development",
    root_dir=HERE, image_builder="remote",
)
run = finish(start(programs.nested, x=3))
print("gave", run.outputs()[0])
"""


class Tls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        key, cls.certificate = (str(Path(cls.folder.name) / name) for name in ("key.pem", "certificate.pem"))
        made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
        made += ["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"]
        subprocess.run([*made, "-keyout", key, "-out", cls.certificate], check=True, capture_output=True)
        cls.server = Server(arguments=["--tls-cert", cls.certificate, "--tls-key", key])
        create = [os.environ["TUTTI_BIN"], "token", "create", "--data", cls.server.folder / "data"]
        create += ["--name", "ci", "--scope", "run", "--scope", "read"]
        made = subprocess.run(create, check=True, capture_output=True, text=True).stdout
        cls.token = re.search(r"ci\.[0-9a-f]+", made).group()
        cls.server.start()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.folder.cleanup()

    def test_a_program_is_uploaded_run_and_answered_and_its_tasks_reach_the_server(self):
        name, secret = self.token.split(".")
        said = {"here": str(HERE), "port": self.server.port, "authority": self.certificate, "name": name, "secret": secret}
        environment = {**os.environ, "SSL_CERT_FILE": self.certificate}
        command = [sys.executable, "-c", CLIENT.format(**said)]
        client = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
        self.assertIn("gave 10", client.stdout, client.stderr[-3000:])


if __name__ == "__main__":
    unittest.main()
