"""Puts an approved model into the registry of this site, after checking its signature; `--withdraw` takes it out again.

The registry is a folder of the site: models by digest, and `current.json`, which names the one in use and the one before.
"""

import json
import os
import shutil
import sys
from pathlib import Path

import signing
import step


def registry():
    folder = Path(os.environ["TUTTI_SITE_FILES"]) / "models"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def current(folder):
    try:
        return json.loads((folder / "current.json").read_text())
    except FileNotFoundError:
        return {"model": None, "before": None}


def point(folder, value):
    """Changes what is in use, in one step that is whole or not at all."""
    beside = folder / ".current.json"
    beside.write_text(json.dumps(value))
    beside.replace(folder / "current.json")


def deploy(folder, path, digest):
    target = folder / f"{digest.removeprefix('sha256:')}.joblib"
    if not target.exists():
        beside = target.with_suffix(".part")
        shutil.copyfile(path, beside)
        beside.replace(target)
    now = current(folder)
    if now["model"] != digest:
        point(folder, {"model": digest, "before": now["model"]})


def withdraw(folder, digest):
    """Goes back to the model before, if this one is in use. Asked twice, it does nothing the second time."""
    now = current(folder)
    if now["model"] == digest:
        point(folder, {"model": now["before"], "before": None})
    return now["model"] == digest


def main():
    given = step.given()
    digest = given["approved"]["model"]
    if "--withdraw" in sys.argv:
        print(f"{digest} withdrawn" if withdraw(registry(), digest) else f"{digest} was not in use")
        return
    signed = json.loads(Path(given["signature"]["path"]).read_text())
    signing.verify(signed, given["model"]["path"], given["approved"]["key"], digest)
    deploy(registry(), given["model"]["path"], digest)
    print(f"{digest} is in use; its signature by {signed['statement']['key']} holds")
    step.give(model=digest, verified=True)


if __name__ == "__main__":
    step.run(main)
