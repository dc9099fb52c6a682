"""What the server looks after for Flyte programs beside their runs: secrets and triggers."""

import hashlib
import unittest
from datetime import datetime, timedelta, timezone

import flyte
import flyte.errors
import flyte.remote
from flyte.models import ActionPhase
from rig import OnServer, connect, finish, output, start, until

import programs_services as programs


MINUTELY = "acceptance/development/clock.tick/each-minute"
SELDOM = "acceptance/development/clock.tick/seldom"


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

    def test_a_secret_is_one_of_its_domain_and_comes_before_that_of_the_project(self):
        self.server.call("/api/v1/secrets/acceptance/scoped", b'{"value": "of the project"}', {"content-type": "application/json"}, method="PUT").close()
        digest = lambda text: hashlib.sha256(text).hexdigest()  # noqa: E731
        self.assertEqual(output(programs.scoped), digest(b"of the project"))
        flyte.remote.Secret.create(name="scoped", value="of development")
        self.assertEqual(output(programs.scoped), digest(b"of development"))
        try:
            connect(self.server, domain="production")
            # Neither is it there to look at, nor to be used.
            with self.assertRaisesRegex(Exception, "there is no secret"):
                flyte.remote.Secret.get(name="scoped")
            self.assertEqual(output(programs.scoped), digest(b"of the project"))
            with self.assertRaisesRegex(Exception, "there is no secret"):
                flyte.remote.Secret.delete(name="scoped")
        finally:
            connect(self.server)
        known = [(secret.name, secret.pb2.id.domain) for secret in flyte.remote.Secret.listall()]
        self.assertEqual([found for found in known if found[0] == "scoped"], [("scoped", "development")])

    def test_a_task_whose_secret_is_not_there_says_so(self):
        run = finish(start(programs.lost))
        self.assertEqual(run.phase, ActionPhase.FAILED)
        self.assertIn("there is no secret `not-there`", run.details().action_details.error_info.message)


class Triggers(OnServer):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        flyte.deploy(programs.clock)

    def test_a_schedule_starts_the_task_at_its_time(self):
        fired = lambda: [run for run in self.server.get("/runs")["items"] if run["principal"] == f"trigger:{MINUTELY}"]  # noqa: E731
        run = flyte.remote.Run.get(name=until("a run of the trigger", fired)[0]["name"])
        finish(run)
        self.assertEqual(run.phase, ActionPhase.SUCCEEDED)
        # It was told the full minute that it was due at, and the other input.
        at, n = run.outputs()[0].split()
        self.assertRegex(at, r":00\+00:00$")
        self.assertEqual(n, "3")
        details = flyte.remote.Trigger.get(name="each-minute", task_name="clock.tick")
        self.assertTrue(details.is_active)
        self.assertGreater(details.status.triggered_at.seconds, 0)

    def test_triggers_are_listed_held_and_removed(self):
        known = {trigger.name: trigger.is_active for trigger in flyte.remote.Trigger.listall(task_name="clock.tick")}
        self.assertEqual(known, {"each-minute": True, "seldom": False})
        flyte.remote.Trigger.update(name="seldom", task_name="clock.tick", active=True)
        self.assertTrue(flyte.remote.Trigger.get(name="seldom", task_name="clock.tick").is_active)
        self.assertIsNotNone(self.server.get(f"/triggers/{SELDOM.replace('/', '%2F')}")["next_due"])
        created = flyte.remote.Trigger.create(
            flyte.Trigger("other", flyte.Cron("0 3 * * *"), inputs={"at": flyte.TriggerTime, "n": 1}), task_name="clock.tick"
        )
        self.assertEqual(created.name, "other")
        flyte.remote.Trigger.delete(name="other", task_name="clock.tick")
        names = [trigger.name for trigger in flyte.remote.Trigger.listall(task_name="clock.tick")]
        self.assertNotIn("other", names)

    def test_one_without_a_schedule_fires_when_somebody_says_so(self):
        trigger = flyte.remote.Trigger.create(flyte.Trigger("by-hand", inputs={"at": datetime(2026, 1, 2, tzinfo=timezone.utc), "n": 4}), task_name="clock.tick")
        shown = self.server.get("/triggers/acceptance%2Fdevelopment%2Fclock.tick%2Fby-hand")
        self.assertEqual((shown.get("next_due"), shown["starts"]), (None, "on demand"))
        run = finish(flyte.run(flyte.remote.Trigger.get(name=trigger.name, task_name="clock.tick")))
        self.assertEqual(run.outputs()[0].split()[-1], "4")
        flyte.remote.Trigger.delete(name="by-hand", task_name="clock.tick")

    def test_rates_and_time_zones_say_when_it_is_due(self):
        start = datetime(2100, 1, 31, 10, 7, tzinfo=timezone.utc)
        schedules = {
            "from-a-time": (flyte.FixedRate(90, start_time=start), lambda due: due == start),
            "on-the-grid": (flyte.FixedRate(60, start_time=datetime(2020, 1, 1, 0, 7, tzinfo=timezone.utc)), lambda due: due.minute == 7 and due.second == 0),
            "in-tokyo": (flyte.Cron("30 9 * * *", timezone="Asia/Tokyo"), lambda due: (due.hour, due.minute) == (0, 30)),
        }
        for name, (schedule, fits) in schedules.items():
            flyte.remote.Trigger.create(flyte.Trigger(name, schedule, inputs={"at": flyte.TriggerTime, "n": 1}), task_name="clock.tick")
            shown = self.server.get(f"/triggers/acceptance%2Fdevelopment%2Fclock.tick%2F{name}")
            due = datetime.fromisoformat(shown["next_due"].replace("Z", "+00:00"))
            self.assertTrue(fits(due), (name, due))
            self.assertGreater(due, datetime.now(timezone.utc))
            flyte.remote.Trigger.delete(name=name, task_name="clock.tick")


class Missed(OnServer):
    def test_a_firing_that_was_due_while_no_server_ran_comes_once_when_it_is_back(self):
        """Within a minute it is merely late. What was missed for longer is left out, which takes longer to show than a test may."""
        flyte.deploy(programs.clock)
        # On a grid of a day, due in a few seconds.
        due = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(seconds=8)
        schedule = flyte.FixedRate(24 * 60, start_time=due - timedelta(days=7))
        flyte.remote.Trigger.create(flyte.Trigger("daily", schedule, inputs={"at": flyte.TriggerTime, "n": 1}), task_name="clock.tick")
        name = "acceptance/development/clock.tick/daily"
        shown = lambda: datetime.fromisoformat(self.server.get(f"/triggers/{name.replace('/', '%2F')}")["next_due"].replace("Z", "+00:00"))  # noqa: E731
        self.assertEqual(shown(), due)
        self.server.kill()
        until("the time at which it is due", lambda: datetime.now(timezone.utc) > due + timedelta(seconds=1))
        self.server.start()
        self.assertEqual(until("the next firing", lambda: shown() != due and shown()), due + timedelta(days=1))
        fired = lambda: [run["name"] for run in self.server.get("/runs")["items"] if run["principal"] == f"trigger:{name}"]  # noqa: E731
        [run] = until("the firing", fired)
        at, n = finish(flyte.remote.Run.get(name=run)).outputs()[0].split()
        self.assertEqual((datetime.fromisoformat(at), n), (due, "1"), "it is told when it was due")
        self.assertEqual(fired(), [run])


if __name__ == "__main__":
    unittest.main()
