"""Layered images, built as Python environments by the remote builder of the unmodified SDK."""

import http.server
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
import unittest
import zipfile
from pathlib import Path

import flyte
from flyteidl2.imagebuilder.payload_pb2 import GetImageRequest
from rig import OnServer, Server, connect, output, start

import programs_images as programs

SITE = """
kind: site
name: workshop
simulates: a workshop
capacity: {{cpu: 4, memory: 8Gi}}
sandbox: {{mode: prefer, egress: ["127.0.0.1:{port}"]}}
"""

# Whoever installs a source package runs a program of whoever wrote it. This one looks around.
BACKEND = """
import json, os, socket, zipfile
from pathlib import Path


def tried(attempt):
    try:
        return str(attempt())
    except OSError as error:
        return f"refused: {error.strerror or type(error).__name__}"


def build_wheel(folder, config_settings=None, metadata_directory=None):
    environments = Path(os.environ["TUTTI_FLYTE_ENVIRONMENTS"])
    findings = {
        # Below its own `/tmp` there are the folders in which what it may see lies, and nothing else.
        "data": tried(lambda: {entry.name for entry in environments.parent.parent.iterdir()} - {"flyte", "sites"} or os.stat("/none")),
        "another environment": tried(lambda: (environments / "other" / "planted").write_text("x")),
        "beside environments": tried(lambda: (environments / "planted").write_text("x")),
        "a home": tried(lambda: os.listdir(%(home)r)),
        "the network": tried(lambda: socket.create_connection(("127.0.0.1", %(port)d), timeout=5)),
        "names": tried(lambda: socket.create_connection(("example.com", 80), timeout=5)),
    }
    name = "probe-1.0-py3-none-any.whl"
    with zipfile.ZipFile(Path(folder) / name, "w") as wheel:
        wheel.writestr("probe/__init__.py", "")
        wheel.writestr("probe/findings.json", json.dumps(findings))
        wheel.writestr("probe-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: probe\\nVersion: 1.0\\n")
        wheel.writestr("probe-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("probe-1.0.dist-info/RECORD", "")
    return name
"""

PROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n[project]\nname = "probe"\nversion = "1.0"\n'


def source_package(**looks_for):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, text in {"pyproject.toml": PROJECT, "backend.py": BACKEND % looks_for, "PKG-INFO": "Metadata-Version: 2.1\nName: probe\nVersion: 1.0\n"}.items():
            entry = tarfile.TarInfo(f"probe-1.0/{name}")
            entry.size = len(text.encode())
            tar.addfile(entry, io.BytesIO(text.encode()))
    return packed.getvalue()


class Packages(http.server.BaseHTTPRequestHandler):
    """Hands the package out, and counts."""

    package, asked = b"", 0

    def do_GET(self):
        type(self).asked += 1
        self.send_response(200)
        self.send_header("content-length", str(len(self.package)))
        self.end_headers()
        self.wfile.write(self.package)

    def log_message(self, *_):
        pass


def serve(handler):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class Images(OnServer):
    def builds(self):
        return [run for run in self.server.get("/runs")["items"] if run["workflow"] == "acceptance/build-image"]

    def test_packages_and_variables_are_there_and_an_image_is_built_once(self):
        self.assertEqual(output(programs.has_what_its_image_says, x=3), ["1.17.0", "mint", "task", "3"])
        [build] = self.builds()
        self.assertEqual(build["phase"], "succeeded")
        log = "\n".join(self.server.log(build["name"], "a0"))
        for words in ("[1/", "pip packages", "six==1.17.0", "is ready"):
            self.assertIn(words, log)
        self.assertEqual(output(programs.has_what_its_image_says, x=4)[3], "4")
        self.assertEqual(len(self.builds()), 1)

    def test_what_needs_a_container_is_refused_and_says_so(self):
        for task, words in ((programs.needs_debian, "graphviz"), (programs.needs_commands, "make -C /opt all")):
            with self.assertRaises(Exception):
                start(task)
            run = self.builds()[0]
            self.assertEqual(run["phase"], "failed")
            self.assertIn(words, run["failure"]["message"])
            self.assertIn("no container", run["failure"]["message"])


def wheel(name, version, text):
    """A package of one module."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(f"{name}/__init__.py", text)
        archive.writestr(f"{name}-{version}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{name}-{version}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{name}-{version}.dist-info/RECORD", "")
    return packed.getvalue()


class Index(http.server.BaseHTTPRequestHandler):
    """An index of packages that are small and made here. Builds are made of them alone: nothing is asked of the world, and nothing large is installed."""

    wheels = {
        "tiny-1.0-py3-none-any.whl": wheel("tiny", "1.0", "SAYS = 1"),
        "tiny-2.0-py3-none-any.whl": wheel("tiny", "2.0", "SAYS = 2"),
        # What stands for the SDK in an image that runs no task, and for what `uv venv` puts into each environment.
        f"flyte-{flyte.__version__}-py3-none-any.whl": wheel("flyte", flyte.__version__, f"__version__ = '{flyte.__version__}'"),
        **{f"{name}-90.0-py3-none-any.whl": wheel(name, "90.0", "") for name in ("pip", "setuptools", "wheel")},
    }

    def do_GET(self):
        name = self.path.rstrip("/").rsplit("/", 1)[-1]
        content = self.wheels.get(name)
        if content is None:
            found = [file for file in self.wheels if file.startswith(f"{name}-")]
            content = "".join(f'<a href="/files/{file}">{file}</a>' for file in found).encode() if found else None
        self.send_response(200 if content is not None else 404)
        self.send_header("content-type", "text/html" if not name.endswith(".whl") else "application/zip")
        self.send_header("content-length", str(len(content or b"")))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content or b"")

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


UV = Path(sys.prefix).parent / "flyte-store-venv" / "bin" / "uv"


@unittest.skipUnless(UV.exists(), f"there is no {UV}: python/flyte/setup.sh installs it")
class WithUv(unittest.TestCase):
    """The same where uv is on the server's search path."""

    @classmethod
    def setUpClass(cls):
        cls.index = serve(Index)
        cls.url = f"http://127.0.0.1:{cls.index.server_port}/simple"
        cls.server = Server(UV_DEFAULT_INDEX=cls.url, UV_NO_CONFIG="1")
        tools = cls.server.folder / "tools"
        tools.mkdir()
        shutil.copy(UV, tools / "uv")
        # The client asks it too, about what is in a project.
        cls.path = os.environ["PATH"]
        os.environ["PATH"] = f"{tools}:{cls.path}"
        cls.server.start()
        connect(cls.server)
        path = cls.server.folder / "site.yaml"
        path.write_text(SITE.format(port=cls.index.server_port))
        for words in [["apply", "-f", path], ["site", "cordon", "local"]]:
            command = [os.environ["TUTTI_BIN"], *words, "--server", f"http://127.0.0.1:{cls.server.port}"]
            subprocess.run(command, check=True, capture_output=True)

    @classmethod
    def tearDownClass(cls):
        os.environ["PATH"] = cls.path
        cls.server.stop()
        cls.index.shutdown()
        cls.index.server_close()

    def built(self, image):
        """What the Python of an image says of its packages."""
        try:
            flyte.build(image)
        except flyte.errors.ImageBuildError as error:
            run = self.server.get("/runs")["items"][0]
            self.fail("\n".join([str(error), *self.server.log(run["name"], "a0")]))
        [python] = (self.server.folder / "data/flyte/environments").glob(f"{image.name}_*/bin/python")
        self.assertIn("uv = ", (python.parent.parent / "pyvenv.cfg").read_text())
        said = subprocess.run([python, "-c", "import flyte, tiny; print(flyte.__version__, tiny.SAYS)"], capture_output=True, text=True)
        return said.stdout.split() or said.stderr

    def test_packages_are_installed_by_it(self):
        image = flyte.Image.from_debian_base(name="by-uv").with_pip_packages("tiny<2")
        self.assertEqual(self.built(image), [flyte.__version__, "1"])

    def test_a_project_is_synced_with_its_lock(self):
        folder = self.server.folder / "project"
        folder.mkdir()
        project = '[project]\nname = "own"\nversion = "1.0"\nrequires-python = ">=3.10"\ndependencies = ["tiny"]\n'
        (folder / "pyproject.toml").write_text(project.replace("tiny", "tiny<2"))
        lock = [UV, "lock", "--quiet", "--no-config", "--default-index", self.url, "--project", folder]
        subprocess.run(lock, check=True, env={**os.environ, "UV_FIND_LINKS": ""})
        # What is locked counts, and not what could be had by now.
        locked = (folder / "uv.lock").read_text()
        (folder / "pyproject.toml").write_text(project)
        (folder / "uv.lock").write_text(locked.replace('specifier = "<2"', 'specifier = ""'))
        image = flyte.Image.from_debian_base(name="project").with_uv_project(pyproject_file=folder / "pyproject.toml", uvlock=folder / "uv.lock")
        self.assertEqual(self.built(image), [flyte.__version__, "1"])


class Walls(OnServer):
    """A build is within walls at every site that has some, also where tasks are not."""

    place = "/var/tmp"
    # What of the server's data is seen, and what of it can be written to: nothing.
    seen = written = ()

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.outside = socket.create_server(("127.0.0.1", 0))
        looks_for = {"port": cls.outside.getsockname()[1], "home": os.path.expanduser("~")}
        cls.handlers = [type(name, (Packages,), {"package": source_package(**looks_for)}) for name in ("Granted", "Other")]
        cls.servers = [serve(handler) for handler in cls.handlers]
        path = cls.server.folder / "site.yaml"
        path.write_text(SITE.format(port=cls.servers[0].server_port))
        cls.tutti("apply", "-f", path)
        for site in cls.server.get("/sites"):
            if site["name"] != "workshop":
                cls.tutti("site", "cordon", site["name"])
        cls.environments = cls.server.folder / "data/flyte/environments"
        (cls.environments / "other").mkdir(parents=True)

    @classmethod
    def tearDownClass(cls):
        for server in cls.servers:
            server.shutdown()
            server.server_close()
        cls.outside.close()
        super().tearDownClass()

    @classmethod
    def tutti(cls, *arguments):
        server = ["--server", f"http://127.0.0.1:{cls.server.port}"]
        done = subprocess.run([os.environ["TUTTI_BIN"], *arguments, *server], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def image(self, name, server):
        return flyte.Image.from_debian_base(name=name).with_pip_packages(f"probe @ http://127.0.0.1:{server.server_port}/probe-1.0.tar.gz")

    def builds(self):
        return [run for run in self.server.get("/runs")["items"] if run["workflow"] == "acceptance/build-image"]

    def told_of(self, image, project):
        """The status of the answer to whoever asks for an image."""
        asked = GetImageRequest()
        asked.id.name = image
        asked.project_id.name, asked.project_id.domain = project, "development"
        path = "/flyteidl2.imagebuilder.ImageService/GetImage"
        return self.server.send(path, asked.SerializeToString(), **{"content-type": "application/proto"})[0]

    def test_a_package_that_looks_around_while_it_is_installed_finds_nothing(self):
        if "sandbox" not in next(site for site in self.server.get("/sites") if site["name"] == "workshop")["attributes"]["sandbox"]:
            self.skipTest("this machine cannot build walls")
        flyte.build(self.image("probing", self.servers[0]))
        [found] = self.environments.glob("probing_*/lib/python*/site-packages/probe/findings.json")
        findings = json.loads(found.read_text())
        self.assertIn("keys", os.listdir(self.environments.parent.parent))
        for what, came in findings.items():
            self.assertTrue(came.startswith("refused") or what in self.written or came == self.seen, f"{what}: {came}")
        self.assertFalse((self.environments / "other/planted").exists() or (self.environments / "planted").exists())
        build = self.builds()[0]
        ways = self.tutti("audit", "connections", build["name"])
        self.assertIn("pypi.org", ways)
        self.assertIn(str(self.servers[0].server_port), ways)
        self.tutti("audit", "verify")
        # Of the image nobody else is told. The client remembers what it was told, so that it is not asked.
        name = found.parents[4].name
        self.assertEqual(self.told_of(name, "acceptance"), 200)
        self.assertEqual(self.told_of(name, "elsewhere"), 404)

    def test_a_package_from_elsewhere_is_not_brought(self):
        with self.assertRaises(Exception):
            flyte.build(self.image("elsewhere", self.servers[1]))
        self.assertEqual(self.builds()[0]["phase"], "failed")
        self.assertEqual(self.handlers[1].asked, 0)


class WallsBelowTmp(Walls):
    """The build has a `/tmp` of its own. Where the server's data lies below the real one, there are folders on the way to what the build is shown, and no more."""

    place = "/tmp"
    seen = str(["flyte", "sites"])
    written = ("beside environments",)
    test_a_package_from_elsewhere_is_not_brought = None


if __name__ == "__main__":
    unittest.main()
