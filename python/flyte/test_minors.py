"""Minor versions of the SDK: those that are forked pass the same tests, each in an environment of its own, and any other starts cold."""

import os
import subprocess
import sys
import unittest
from pathlib import Path

from rig import HERE, Server, connect, flyte, output

import programs
from test_workers import HOST

# Where `setup.sh` puts environments with other minor versions.
BESIDE = Path(os.environ.get("TUTTI_FLYTE_VENVS") or Path(sys.prefix).parent)
OTHERS = ("2.11",)
# What hangs on the inside of the SDK: forks, processes that are kept, a killed server, children, retries, traces, files, questions.
TESTS = [
    "test_workers.Workers.test_the_installed_sdk_is_one_that_can_be_forked",
    "test_workers.Workers.test_a_task_is_forked_from_a_process_that_has_the_sdk",
    "test_workers.Workers.test_reusable_tasks_share_a_process_one_after_another",
    "test_workers.Workers.test_errors_of_reusable_tasks_are_those_of_others",
    "test_workers.Workers.test_a_killed_server_loses_no_reusable_task",
    "test_flyte.Acceptance.test_children_are_actions_of_the_run",
    "test_flyte.Acceptance.test_retries_count_attempts_and_stop_at_what_is_not_recoverable",
    "test_flyte.Acceptance.test_errors_keep_their_code",
    "test_flyte.Acceptance.test_traces_are_recorded",
    "test_flyte.Acceptance.test_files_and_folders_go_through_the_store",
    "test_flyte.Acceptance.test_a_condition_is_in_the_inbox",
]
STRANGE = """#!/bin/sh
exec {python} -c 'import runpy, sys
import flyte
flyte.__version__ = "99.1.0"
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")' "$@"
"""


class Minors(unittest.TestCase):
    def test_every_minor_version_that_is_forked_passes_what_hangs_on_its_inside(self):
        known = [line for line in HOST.read_text().splitlines() if line.startswith("KNOWN = ")][0]
        own = ".".join(flyte.__version__.split(".")[:2])
        self.assertEqual(known, f"KNOWN = {(*OTHERS, own)}".replace("'", '"'), "each that is forked is tested here")
        for minor in OTHERS:
            with self.subTest(minor=minor):
                python = BESIDE / f"flyte-{minor}-venv" / "bin" / "python"
                if not python.exists():
                    self.skipTest(f"there is no {python}: python/flyte/setup.sh makes it")
                version = subprocess.run([python, "-c", "import flyte; print(flyte.__version__)"], capture_output=True, text=True)
                self.assertTrue(version.stdout.startswith(f"{minor}."), version.stdout + version.stderr)
                done = subprocess.run([python, "-m", "unittest", "-q", *TESTS], cwd=HERE, capture_output=True, text=True)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                self.assertIn(f"Ran {len(TESTS)} tests", done.stderr)

    def test_any_other_starts_cold_and_the_log_says_so(self):
        server = Server()
        environment = server.folder / "strange"
        (environment / "bin").mkdir(parents=True)
        (environment / "bin" / "python").write_text(STRANGE.format(python=sys.executable))
        (environment / "bin" / "python").chmod(0o755)
        (environment / "bin" / "a0").symlink_to(Path(sys.prefix) / "bin" / "a0")
        # What an environment is made from can be read within walls too.
        (environment / "pyvenv.cfg").write_text(f"home = {sys.prefix}/bin\n")
        server.environment["TUTTI_FLYTE_VENV"] = str(environment)
        server.start()
        try:
            connect(server)
            self.assertNotIn("host.py", output(programs.pid))
            self.assertIn("flyte 99.1.0 is not one of", (server.folder / "log").read_text())
        finally:
            server.stop()


if __name__ == "__main__":
    unittest.main()
