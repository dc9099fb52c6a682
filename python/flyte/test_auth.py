"""The doors of the SDK at a server that wants tokens."""

import asyncio
import json
import sys
import unittest
import urllib.error

from rig import Server, connect, finish, output, start

import programs


async def user(endpoint, **how):
    """Who one is to the server, by the session that the SDK makes for addresses with TLS."""
    from flyte.remote._client.auth._session import create_session_config
    from flyteidl2.auth.identity_connect import IdentityServiceClient
    from flyteidl2.auth.identity_pb2 import UserInfoRequest

    session = await create_session_config(endpoint, insecure=False, disable_keyring=True, **how)
    return (await IdentityServiceClient(**session.connect_kwargs()).user_info(UserInfoRequest())).subject


class Tokens(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.server.start()
        cls.admin = cls.server.make_token("admin", ["admin"])
        cls.server.token = cls.admin
        cls.runs = cls.server.make_token("ci", ["run", "read"])
        cls.reads = cls.server.make_token("looks", ["read"])

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def test_a_program_runs_in_the_name_of_a_token(self):
        connect(self.server, self.runs)
        run = finish(start(programs.nested, x=3))
        self.assertEqual(run.outputs()[0], 10)
        self.assertEqual(self.server.get(f"/runs/{run.name}")["principal"], "ci")
        self.assertEqual(output(programs.one_after_another, n=3)[0].split()[0].isdigit(), True, "nor do kept processes need more")

    def test_a_name_and_its_secret_are_a_token(self):
        endpoint = f"http://127.0.0.1:{self.server.port}"
        name, secret = self.runs.split(".")
        found = asyncio.run(user(endpoint, auth_type="ClientSecret", client_id=name, client_credentials_secret=secret))
        self.assertEqual(found, "ci")
        command = [sys.executable, "-c", f"print({self.runs!r})"]
        self.assertEqual(asyncio.run(user(endpoint, auth_type="ExternalCommand", command=command)), "ci")
        with self.assertRaisesRegex(Exception, "401"):
            asyncio.run(user(endpoint, auth_type="ClientSecret", client_id=name, client_credentials_secret="0" * 64))

    def test_who_may_not_is_told_so(self):
        connect(self.server, "ci." + "0" * 64)
        with self.assertRaisesRegex(Exception, "not known"):
            start(programs.square, x=2)
        connect(self.server, self.reads)
        with self.assertRaisesRegex(Exception, "submit|permit"):
            start(programs.square, x=2)
        connect(self.server)
        with self.assertRaises(Exception) as refused:
            start(programs.square, x=2)
        self.assertIn("wants a token", str(refused.exception))

    def test_an_attempt_acts_for_its_own_run_and_as_long_as_it_is_under_way(self):
        connect(self.server, self.runs)
        other = finish(start(programs.square, x=2))
        token, *found = output(programs.acts_for_others, other=other.name)
        self.assertEqual(found, ["permission_denied", "403", "permission_denied", "permission_denied", "permission_denied", "granted"])
        enqueue = "/flyteidl2.actions.ActionsService/Enqueue"
        with self.assertRaises(urllib.error.HTTPError) as refused:
            self.server.call(enqueue, b"", {"content-type": "application/proto"}, token=token)
        with refused.exception as error:
            self.assertEqual((error.code, json.load(error)["code"]), (401, "unauthenticated"))


if __name__ == "__main__":
    unittest.main()
