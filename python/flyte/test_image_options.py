"""What the builder of images refuses before anything is begun, option by option. It needs no server and no SDK: the program itself is asked."""

import sys
import tempfile
import unittest
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "crates/flyte/src"))
sys.dont_write_bytecode = True

import build_image  # noqa: E402


class Layer(SimpleNamespace):
    def __init__(self, kind, **fields):
        options = SimpleNamespace(
            index_url=fields.pop("index_url", ""),
            extra_index_urls=fields.pop("extra_index_urls", []),
            extra_args=fields.pop("extra_args", ""),
        )
        super().__init__(**{kind: SimpleNamespace(**{"options": options, "secret_mounts": [], **fields})} if kind else {})
        self.kind = kind

    def WhichOneof(self, _):
        return self.kind


def pip(*packages, **fields):
    return Layer("pip_packages", packages=list(packages), **fields)


class Options(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.context = Path(folder.name) / "context"
        self.context.mkdir()

    def check(self, *layers, base="python:3.12", python=""):
        return build_image.check(SimpleNamespace(python_version=python, base_image=base, layers=layers), self.context)

    def refused(self, words, *layers, **image):
        with self.assertRaises(build_image.Refused) as refused:
            self.check(*layers, **image)
        self.assertIn(words, str(refused.exception))

    def test_what_chooses_among_packages_may_be_said(self):
        self.check(pip("six==1.17.0", "numpy>=1,<3", "a[b] ; python_version > '3'", "x @ https://example.com/x.whl"))
        self.check(pip("six", extra_args="--pre --no-deps --only-binary :all:", index_url="https://example.com/simple"))

    def test_what_needs_another_system_is_refused(self):
        self.refused("packages of Debian (graphviz)", Layer("apt_packages", packages=["graphviz"]))
        self.refused("commands (`curl x | sh`)", Layer("commands", cmd=["curl x | sh"]))
        self.refused("a project of Poetry", Layer("poetry_project"))
        self.refused("does not know", Layer(None))
        self.refused("the base image `debian:12`", base="debian:12")
        self.refused("a Python of the version", python="3.12; rm -rf /")
        self.refused("files at `/etc`", Layer("copy_config", dst="/etc"))
        # All of it is said at once.
        self.refused("commands", Layer("apt_packages", packages=["git"]), Layer("commands", cmd=["make"]))

    def test_packages_that_are_options_files_or_lead_elsewhere_are_refused(self):
        for package in (
            "--index-url=https://evil.example",
            "-r /etc/passwd",
            "six --target /tmp",
            "./local",
            "/srv/local",
            "../up.whl",
            "file:///etc/passwd",
            "x @ file:///etc/passwd",
            "local.tar.gz",
            "https://evil.example/${HOME}",
            "six\n--target=/tmp",
            "git+file:///srv/repo",
        ):
            with self.subTest(package):
                self.refused("packages that are options", pip(package))

    def test_arguments_that_change_where_things_go_are_refused(self):
        for argument in (
            "--target /tmp/x",
            "--target=/tmp/x",
            "--prefix=/usr",
            "--root /",
            "--user",
            "-e .",
            "--requirement /etc/passwd",
            "--constraint=/etc/passwd",
            "--config-settings x=y",
            "--python /usr/bin/python3",
            "--break-system-packages",
            "--cache-dir /etc",
            "--find-links file:///srv",
            "--find-links /srv",
            "--pre 'open quote",
        ):
            with self.subTest(argument):
                self.refused("arguments for the installer", pip("six", extra_args=argument))

    def test_an_index_is_an_address_of_the_web(self):
        for index in ("file:///srv", "/srv", "https://example.com/ --target=/tmp", "ftp://example.com", "https://$HOME"):
            with self.subTest(index):
                self.refused("an index at", pip("six", index_url=index))
                self.refused("an index at", pip("six", extra_index_urls=[index]))

    def test_a_password_in_what_is_refused_is_not_told(self):
        with self.assertRaises(build_image.Refused) as refused:
            self.check(pip("six", index_url="ftp://ada:hunter2@example.com"))
        self.assertNotIn("hunter2", str(refused.exception))

    def test_secrets_and_files_from_elsewhere_are_refused(self):
        self.refused("secrets while packages are installed", pip("six", secret_mounts=["token"]))
        (self.context.parent / "outside.txt").write_text("six\n")
        self.refused("leads out", Layer("requirements", file="../outside.txt"))
        self.refused("there is no gone.txt", Layer("requirements", file="gone.txt"))
        (self.context / "link.txt").symlink_to("/etc/passwd")
        self.refused("leads out", Layer("requirements", file="link.txt"))
        for line in ("-r other.txt", "--index-url https://evil.example", "-e .", "six \\\n  --target=/tmp", "./here"):
            with self.subTest(line):
                (self.context / "lines.txt").write_text(f"# fine\nsix==1.17.0\n{line}\n")
                self.refused("lines of requirements", Layer("requirements", file="lines.txt"))
        (self.context / "good.txt").write_text(f"# fine\nsix==1.17.0 \\\n  --hash=sha256:{'0' * 64}\n")
        self.check(Layer("requirements", file="good.txt"))


if __name__ == "__main__":
    unittest.main()
