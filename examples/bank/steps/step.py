"""What every step shares: reading what it was given, saying what it gives back, failing in words, and secrets of the site.

A step is a plain program. It finds its input in the JSON file that TUTTI_INPUT names, writes files to TUTTI_OUT_DIR and its output to
the JSON file that TUTTI_OUTPUT names; `{"$file": "name"}` there stands for the file `name` in TUTTI_OUT_DIR.
"""

import hashlib
import json
import os
import secrets
import sys
import time
from datetime import datetime, timezone
from pathlib import Path



def _began():
    """When this process began, in seconds of the wall clock: imports count too."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19])
        return time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"))
    except (OSError, AttributeError, ValueError, IndexError):
        return time.time()


_BEGAN = _began()


class Refused(Exception):
    """What a step refuses to go on with. The message is for people."""


def given():
    """The step's input."""
    return json.loads(Path(os.environ["TUTTI_INPUT"]).read_text())


def out(name):
    """The path of a file to give back."""
    return Path(os.environ["TUTTI_OUT_DIR"]) / name


def file(name):
    """The value that stands for a file written to `out(name)`."""
    return {"$file": name}


def give(**outputs):
    """Says what the step gives back, and with it where and when it ran."""
    Path(os.environ["TUTTI_OUTPUT"]).write_text(json.dumps({**outputs, "ran": ran()}))


def ran():
    """Where and when this step runs, for the report."""
    return {
        "run": os.environ.get("TUTTI_RUN", ""),
        "action": os.environ.get("TUTTI_ACTION", ""),
        "site": os.environ.get("TUTTI_SITE", ""),
        "simulates": os.environ.get("TUTTI_SITE_SIMULATES", ""),
        "began": datetime.fromtimestamp(_BEGAN, timezone.utc).isoformat(timespec="milliseconds"),
        "seconds": round(time.time() - _BEGAN, 3),
    }


def digest_of(path):
    """The digest of a file, as Tutti writes digests."""
    with open(path, "rb") as content:
        return "sha256:" + hashlib.file_digest(content, "sha256").hexdigest()


def write_json(name, value):
    """Writes a JSON file to give back, and gives the value that stands for it."""
    out(name).write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")
    return file(name)


def site_secret(name, make):
    """The bytes of a secret that lives at this site and never leaves it; made by `make` the first time.

    Only the owner can read the file. The one that is complete first wins when two steps make it at once.
    """
    folder = Path(os.environ["TUTTI_SITE_FILES"]) / "keys"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / name
    if not path.exists():
        beside = folder / f".{name}.{secrets.token_hex(8)}"
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as content:
            content.write(make())
            content.flush()
            os.fsync(content.fileno())
        try:
            os.link(beside, path)
        except FileExistsError:
            pass
        os.unlink(beside)
    return path.read_bytes()


def run(main):
    """Runs a step. What it refuses is one line for people; anything else is a bug and shows where it is."""
    try:
        main()
    except Refused as why:
        print(f"refused: {why}", file=sys.stderr)
        sys.exit(3)
