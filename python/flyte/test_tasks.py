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


WORKFLOW = """
workflow: acceptance/files
inputs: {n: {type: integer, default: 4}}
nodes:
  write:
    run:
      script: |
        cd "$TUTTI_OUT_DIR"
        printf 'a,b\\n1,2\\n3,4\\n5,6\\n' > rows.csv
        printf 'hello world' > text.txt
        mkdir -p parts/deep
        echo one > parts/one.txt
        echo two > parts/deep/two.txt
        echo '{"table": {"$file": "rows.csv"}, "parts": {"$file": "parts"}, "text": {"$file": "text.txt"}}' > "$TUTTI_OUTPUT"
    outputs: {table: {type: table}, parts: {type: directory}, text: {type: file}}
  measure:
    task: files.measures
    with: {text: "${ nodes.write.text }", folder: "${ nodes.write.parts }", table: "${ nodes.write.table }"}
  make:
    task: files.makes
    with: {n: "${ inputs.n }"}
  again:
    task: files.measures
    with: {text: "${ nodes.make.o3[1] }", folder: "${ nodes.make.o1 }", table: "${ nodes.make.o2 }"}
  read:
    run:
      interpreter: [python3]
      script: |
        import json, os
        given = json.load(open(os.environ["TUTTI_INPUT"]))
        found = sorted(os.path.relpath(os.path.join(folder, name), given["folder"]["path"]) for folder, _, names in os.walk(given["folder"]["path"]) for name in names)
        head = open(given["table"]["path"], "rb").read(4).decode()
        json.dump({"size": given["file"]["size"], "names": found, "head": head, "kinds": [given[key]["kind"] for key in ("file", "folder", "table")]}, open(os.environ["TUTTI_OUTPUT"], "w"))
    with: {file: "${ nodes.make.o0 }", folder: "${ nodes.make.o1 }", table: "${ nodes.make.o2 }"}
outputs:
  measured: "${ nodes.measure }"
  again: "${ nodes.again }"
  read: "${ nodes.read }"
"""

PASSES = """
workflow: acceptance/passes
inputs: {address: {type: string}}
nodes:
  pass:
    task: files.passes_on
    with: {address: "${ inputs.address }"}
outputs: {file: "${ nodes.pass.o0 }"}
"""


class Files(OnServer):
    """Files, folders and tables between workflows and the tasks that they call."""

    tutti, ended = Tasks.__dict__["tutti"], Tasks.ended

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        import programs_files

        flyte.deploy(programs_files.env)
        for name, text in (("files", WORKFLOW), ("passes", PASSES)):
            path = cls.server.folder / f"{name}.workflow.yaml"
            path.write_text(text)
            applied = cls.tutti("apply", "-f", path)
            assert applied.returncode == 0, applied.stderr + applied.stdout

    def ran(self, workflow, *inputs):
        given = [part for pair in inputs for part in ("--input", pair)]
        ran = self.tutti("run", f"acceptance/{workflow}", *given, "-o", "json")
        return self.ended(json.loads(ran.stdout)["name"])

    def test_they_go_both_ways(self):
        run = self.ran("files")
        self.assertEqual(run["phase"], "succeeded", run)
        outputs = run["outputs"]
        self.assertEqual(outputs["measured"], {"o0": "hello world", "o1": ["one.txt: one", "two.txt: two"], "o2": [9, 12]})
        self.assertEqual(outputs["again"], {"o0": "1", "o1": ["one.txt: one", "two.txt: two"], "o2": [6, 12]})
        expected = {"size": 4, "names": ["deep/two.txt", "one.txt"], "head": "PAR1", "kinds": ["file", "directory", "table"]}
        self.assertEqual(outputs["read"], expected)
        # What they were made of is known.
        verified = self.tutti("audit", "verify")
        self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)

    def test_what_does_not_fit_is_found_when_it_is_applied(self):
        for old, new, said in (
            ('text: "${ nodes.write.text }"', "text: hello", "has to be"),
            ('table: "${ nodes.write.table }"', 'table: "${ inputs.n }"', "has to be"),
            ('folder: "${ nodes.write.parts }", ', "", "needs `folder`"),
        ):
            path = self.server.folder / "wrong.workflow.yaml"
            self.assertIn(old, WORKFLOW)
            path.write_text(WORKFLOW.replace(old, new, 1))
            applied = self.tutti("apply", "-f", path)
            self.assertNotEqual(applied.returncode, 0, applied.stdout)
            self.assertIn(said, applied.stderr + applied.stdout)

    def test_a_task_gives_nothing_that_it_may_not_read(self):
        for address, said in (
            ("s3://tutti/secret", "may not read"),
            ("s3://tutti/runs/elsewhere/development/r/a0/1/x", "may not read"),
            ("https://example.com/x", "does not lie in the store"),
            ("s3://tutti/uploads/acceptance/development/none", "cannot be taken"),
        ):
            run = self.ran("passes", f"address={address}")
            self.assertEqual(run["phase"], "failed", run)
            self.assertIn(said, run["failure"]["message"])
        # What was not taken was not published either.
        self.assertEqual(list(flyte.remote.Artifact.listall("passed-on")), [])


if __name__ == "__main__":
    unittest.main()
