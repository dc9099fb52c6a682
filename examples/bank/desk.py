"""Runs the steps of the story one by one, without Tutti: for the tests, and for looking at a step on its own.

A site is a folder; what Tutti would lay out, this lays out in the same way.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "steps"))

import step  # noqa: E402


class Desk:
    """A folder with sites, and the outputs of the steps that ran."""

    def __init__(self, folder):
        self.folder, self.runs = Path(folder), 0

    def site_files(self, site):
        files = self.folder / "sites" / site / "files"
        files.mkdir(parents=True, exist_ok=True)
        return files

    def start(self, name, given, site="onprem", simulates="", action=None, arguments=()):
        """Runs `steps/NAME.py`. Gives the finished process and the folder it worked in."""
        self.runs += 1
        work = self.folder / f"{self.runs:02}-{name}"
        (work / "out").mkdir(parents=True)
        (work / "input.json").write_text(json.dumps(given))
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(work), "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1",
            "PYTHONDONTWRITEBYTECODE": "1", "TUTTI_INPUT": str(work / "input.json"), "TUTTI_OUTPUT": str(work / "output.json"),
            "TUTTI_OUT_DIR": str(work / "out"), "TUTTI_SITE": site, "TUTTI_SITE_SIMULATES": simulates,
            "TUTTI_SITE_FILES": str(self.site_files(site)), "TUTTI_RUN": "desk", "TUTTI_ACTION": action or name,
        }  # fmt: skip
        command = [sys.executable, str(HERE / "steps" / f"{name}.py"), *arguments]
        return subprocess.run(command, env=environment, cwd=work, capture_output=True, text=True), work

    def run(self, name, given, **where):
        """Runs a step that has to succeed; its output, with files as a later step would find them."""
        done, work = self.start(name, given, **where)
        if done.returncode != 0:
            raise AssertionError(f"{name} ended with {done.returncode}:\n{done.stderr}")
        output = work / "output.json"
        return self._files(json.loads(output.read_text()) if output.exists() else {}, work / "out")

    def _files(self, value, out):
        if isinstance(value, dict) and set(value) == {"$file"}:
            path = out / value["$file"]
            return {"path": str(path), "name": path.name, "size": path.stat().st_size, "digest": step.digest_of(path)}
        if isinstance(value, dict):
            return {key: self._files(field, out) for key, field in value.items()}
        if isinstance(value, list):
            return [self._files(item, out) for item in value]
        return value


FRANKFURT = {"site": "cloud-frankfurt", "simulates": "a public cloud region in Frankfurt"}
VIRGINIA = {"site": "cloud-virginia", "simulates": "a public cloud region in Virginia"}


def story(desk, partitions=3, bar=0.75):
    """The whole story in order. Gives the output of every step by name."""
    told = {}
    told["ingest"] = desk.run("ingest", {})
    told["quality"] = desk.run("quality", {"applications": told["ingest"]["applications"]})
    told["pseudonymise"] = desk.run("pseudonymise", {"checked": told["quality"]["checked"]})
    told["split"] = desk.run("split", {"table": told["pseudonymise"]["table"], "partitions": partitions})
    told["train"] = desk.run("train", {"train": told["split"]["train"], "cost_of_miss": 2})
    told["validate"] = desk.run("validate", {
        "model": told["train"]["model"], "validation": told["split"]["validation"], "board": told["train"]["board"], "bar": bar,
    })  # fmt: skip
    told["sign"] = desk.run("sign", {"model": told["train"]["model"], "metrics": told["validate"]["metrics"]})
    told["approve"] = {
        "decision": "approve", "by": "risk-officer", "at": "2026-01-01T00:00:00Z", "model_digest": told["sign"]["model_digest"],
        "key": told["sign"]["key"], "reason": "The interval lies above the bar, and no age band stands out.",
    }  # fmt: skip
    told["approved"] = {"model": told["approve"]["model_digest"], "key": told["approve"]["key"]}
    use = {"model": told["train"]["model"], "signature": told["sign"]["signature"], "approved": told["approved"]}
    told["deploy"] = desk.run("deploy", use, **FRANKFURT)
    told["score"] = [
        desk.run("score", {**use, "part": part}, action=f"score[{number}]", **FRANKFURT)
        for number, part in enumerate(told["split"]["parts"])
    ]  # fmt: skip
    told["card"] = desk.run("card", {
        "metrics": told["validate"]["metrics"], "sign": told["sign"], "approval": told["approve"], "source": told["ingest"]["source"],
    }, **VIRGINIA)  # fmt: skip
    told["report"] = desk.run("report", report_input(told))
    return told


def report_input(told):
    """What the workflow gives to the report."""
    names = ["ingest", "quality", "pseudonymise", "split", "train", "validate", "sign", "deploy", "card"]
    return {
        "source": told["ingest"]["source"], "applications": told["ingest"]["applications"],
        "checked": told["quality"]["checked"], "quality": told["quality"]["report"],
        "table": told["pseudonymise"]["table"],
        "privacy": {key: told["pseudonymise"][key] for key in ("key", "dropped", "risk")},
        "train": told["split"]["train"], "outcomes": told["split"]["outcomes"], "model": told["train"]["model"],
        "metrics": told["validate"]["metrics"], "evidence": told["validate"]["evidence"], "signature": told["sign"]["signature"],
        "approval": told["approve"], "card": told["card"]["card"], "scored": told["score"],
        "ran": {name: told[name]["ran"] for name in names},
    }  # fmt: skip


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "desk")
    if folder.exists():
        sys.exit(f"{folder} is there already")
    for name, given in story(Desk(folder), partitions=6).items():
        print(name, json.dumps(given)[:150])
