"""What the server looks after for Flyte programs beside their runs: secrets and triggers."""

import hashlib
import unittest

import flyte
import flyte.errors
import flyte.remote
from flyte.models import ActionPhase
from rig import OnServer, finish, output, start

import programs_services as programs


class Secrets(OnServer):
    def test_a_task_is_given_what_it_asks_for_and_nobody_sees_it(self):
        flyte.remote.Secret.create(name="api-key", value="correct horse battery staple")
        run = finish(start(programs.keyed))
        self.assertEqual(run.phase, ActionPhase.SUCCEEDED)
        self.assertEqual(run.outputs()[0], hashlib.sha256(b"correct horse battery staple").hexdigest())
        # Also the child that was given none has none.
        self.assertEqual(output(programs.asks_a_child), "none")
        said = "\n".join(self.server.log(run.name, "a0"))
        self.assertIn("the key is", said)
        self.assertNotIn("battery", said)
        stored = [path for path in self.server.folder.rglob("*") if path.is_file() and b"battery" in path.read_bytes()]
        self.assertEqual(stored, [])

    def test_secrets_are_listed_and_changed_without_their_values(self):
        flyte.remote.Secret.create(name="other", value="first value")
        with self.assertRaises(Exception) as refused:
            flyte.remote.Secret.create(name="other", value="second value")
        self.assertIn("already", str(refused.exception))
        known = flyte.remote.Secret.get(name="other")
        self.assertNotIn("value", str(known.pb2.secret_metadata))
        self.assertIn("other", [secret.name for secret in flyte.remote.Secret.listall()])
        flyte.remote.Secret.delete(name="other")
        self.assertNotIn("other", [secret.name for secret in flyte.remote.Secret.listall()])

    def test_a_task_whose_secret_is_not_there_says_so(self):
        run = finish(start(programs.lost))
        self.assertEqual(run.phase, ActionPhase.FAILED)
        self.assertIn("there is no secret `not-there`", run.details().action_details.error_info.message)


if __name__ == "__main__":
    unittest.main()
