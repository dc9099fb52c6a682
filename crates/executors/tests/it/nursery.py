"""A nursery whose children run programs where those of Flyte have the SDK.

    python nursery.py HOST SHIM [ARGUMENT]
"""

import importlib.util
import os
import signal
import subprocess
import sys

spec = importlib.util.spec_from_file_location("host", sys.argv[1])
host = importlib.util.module_from_spec(spec)
spec.loader.exec_module(host)


class Programs:
    """Stands for the SDK: an action is a command line."""

    version = "0"

    def rest(self):
        pass

    def wake(self):
        pass

    def run(self, arguments):
        os.execvp(arguments[0], arguments)


class Kept:
    """Runs one after another."""

    def __init__(self, sdk):
        # Whatever the program asks of all there are, or is asked itself: this process stays.
        signal.signal(signal.SIGTERM, lambda *_: None)

    def run(self, arguments):
        code = subprocess.run(arguments).returncode
        return code if code >= 0 else 128 - code


host.Sdk, host.Kept = Programs, Kept
host.nursery(sys.argv[2:])
