"""Workflows that call deployed tasks: the example of a loan, and what is refused."""

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from rig import OnServer, connect, flyte, until

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/lending"


class Tasks(OnServer):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        sys.path.insert(0, str(EXAMPLE))
        connect(cls.server, project="lending", root=EXAMPLE)
        import scoring

        flyte.deploy(scoring.env)
        assert cls.tutti("apply", "-f", EXAMPLE / "loan.workflow.yaml").returncode == 0

    @classmethod
    def tearDownClass(cls):
        sys.path.remove(str(EXAMPLE))
        super().tearDownClass()

    @classmethod
    def tutti(cls, *arguments):
        server = ["--server", f"http://127.0.0.1:{cls.server.port}"]
        return subprocess.run([os.environ["TUTTI_BIN"], *arguments, *server], capture_output=True, text=True)

    def run_loan(self, *inputs):
        given = [part for pair in inputs for part in ("--input", pair)]
        ran = self.tutti("run", "lending/loan", *given, "-o", "json")
        self.assertEqual(ran.returncode, 0, ran.stderr)
        return json.loads(ran.stdout)["name"]

    def ended(self, name):
        def look():
            run = self.server.get(f"/runs/{name}")
            return run if run["phase"] in ("succeeded", "failed", "aborted") else None

        return until(f"the end of {name}", look)

    def test_a_workflow_calls_a_task_and_a_person_decides_where_there_is_a_doubt(self):
        run = self.ended(self.run_loan("income=50000", "amount=20000"))
        self.assertEqual((run["phase"], run["outputs"]), ("succeeded", {"score": 0.96, "why": "4% of the income would go into debts"}), run)
        kinds = {action["path"]: action["phase"] for action in run["actions"]}
        self.assertEqual((kinds["score"], kinds["officer"], len(kinds)), ("succeeded", "skipped", 3), kinds)
        name = self.run_loan("income=30000", "amount=200000")
        waiting = until("the question", lambda: [a for a in self.server.get("/approvals") if a["run"] == name])
        self.assertEqual(waiting[0]["show"], {"score": 0.333, "why": "67% of the income would go into debts"})
        self.assertEqual(self.tutti("approve", name, "officer", "--as", "ada", "--groups", "officers").returncode, 0)
        self.assertEqual(self.ended(name)["phase"], "succeeded")

    def check(self, **changed):
        text = (EXAMPLE / "loan.workflow.yaml").read_text()
        for old, new in changed.values():
            self.assertIn(old, text)
            text = text.replace(old, new)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "x.workflow.yaml"
            path.write_text(text)
            applied = self.tutti("apply", "-f", path)
        self.assertNotEqual(applied.returncode, 0, applied.stdout)
        return applied.stderr + applied.stdout

    def test_what_does_not_fit_the_task_is_found_when_it_is_applied(self):
        self.assertIn("W0204", self.check(name=("scoring.score", "scoring.scores")))
        self.assertIn("needs `amount`", self.check(field=('      amount: "${ inputs.amount }"\n', "")))
        self.assertIn("o7", self.check(output=("nodes.score.o1 }\"}", "nodes.score.o7 }\"}")))
        self.assertIn("has to be a number", self.check(kind=('amount: "${ inputs.amount }"\n  officer', "amount: [1]\n  officer")))

    def test_a_task_that_is_not_deployed_in_the_domain_says_so(self):
        ran = self.tutti("run", "lending/loan", "--input", "income=5", "--input", "amount=1", "--domain", "production", "-o", "json")
        run = self.ended(json.loads(ran.stdout)["name"])
        self.assertEqual(run["phase"], "failed")
        self.assertIn("not deployed in the project `lending` and its domain `production`", json.dumps(run))


if __name__ == "__main__":
    unittest.main()
