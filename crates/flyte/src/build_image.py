"""Builds a layered image of the Flyte SDK as a Python environment of this site. It runs as the task `build-image`, in an environment that has the SDK:

build_image.py --inputs URI --outputs-path URI

The environment is named by the image's name and tag, and the tag is a hash of what it is made of: it is made once. Packages come from where pip's own settings
say. What needs another system than this machine (packages of Debian, commands, other base images) is refused before anything is made.
"""

import argparse
import fcntl
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

VERSION = re.compile(r"^ghcr\.io/flyteorg/flyte:py(?P<python>\d+\.\d+)-v(?P<flyte>[^@]+)$")
PLAIN = re.compile(r"^(docker\.io/(library/)?)?python:(?P<python>\d+\.\d+)")


class Refused(Exception):
    """Why an image cannot be made here."""


def say(text):
    print(text, flush=True)


def run(*command, env=None):
    """Runs a command, whose output is the log."""
    say("$ " + " ".join(shlex.quote(without_password(str(word))) for word in command))
    done = subprocess.run([str(word) for word in command], env=env, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise Refused(f"`{Path(str(command[0])).name} {without_password(str(command[1])) if len(command) > 1 else ''}` failed with {done.returncode}: see the log")


def without_password(word):
    return re.sub(r"(://)[^/@\s]+@", r"\1…@", word)


class Store:
    """The objects of this attempt."""

    def __init__(self):
        from obstore.store import S3Store

        self.store = S3Store(
            "tutti",
            endpoint=os.environ["FLYTE_AWS_ENDPOINT"],
            access_key_id=os.environ["FLYTE_AWS_ACCESS_KEY_ID"],
            secret_access_key=os.environ["FLYTE_AWS_SECRET_ACCESS_KEY"],
            region="us-east-1",
            client_options={"allow_http": True},
        )

    def get(self, uri):
        import obstore

        return bytes(obstore.get(self.store, self.key(uri)).bytes())

    def put(self, uri, content):
        import obstore

        obstore.put(self.store, self.key(uri), content)

    @staticmethod
    def key(uri):
        if not uri.startswith("s3://tutti/"):
            raise Refused(f"`{uri}` lies elsewhere than in the store of this server")
        return uri.removeprefix("s3://tutti/")


def folder_of(image):
    """The folder that stands for an image, as the server finds it."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", image.split("@")[0])
    return Path(os.environ["TUTTI_FLYTE_ENVIRONMENTS"]) / safe.lstrip(".")


def python_of(version):
    """An interpreter of this version on this machine, or the argument that makes uv bring one."""
    candidates = [sys.executable, f"python{version}", "python3"]
    found = set()
    for candidate in candidates:
        asked = subprocess.run(
            [candidate, "-c", "import sys; print(sys.version_info[0], sys.version_info[1], sep='.')"], capture_output=True, text=True
        ) if shutil.which(candidate) else None
        if asked and asked.returncode == 0:
            found.add(asked.stdout.strip())
            if asked.stdout.strip() == version:
                return candidate
    if shutil.which("uv"):
        return version
    raise Refused(f"this site has no Python {version}: there is {', '.join(sorted(found))}. Ask for one of these (`python_version=`), or install uv here")


def check(spec):
    """Refuses what cannot be made, all of it at once, before anything is begun. Gives the version of the SDK to install."""
    wrong = []
    base = VERSION.match(spec.base_image)
    if not base and not PLAIN.match(spec.base_image):
        wrong.append(f"the base image `{spec.base_image}`: only Python and the SDK's own image stand for something here")
    for layer in spec.layers:
        kind = layer.WhichOneof("layer")
        if kind == "apt_packages":
            wrong.append(f"packages of Debian ({', '.join(layer.apt_packages.packages)}): ask the operator to install them on the site")
        elif kind == "commands":
            wrong.append(f"commands (`{'; '.join(layer.commands.cmd)[:200]}`)")
        elif kind == "poetry_project":
            wrong.append("a project of Poetry: export its requirements")
        elif kind == "uv_project" and not shutil.which("uv"):
            wrong.append("a project of uv, which is not installed on this site")
        elif kind == "copy_config" and Path(layer.copy_config.dst).is_absolute():
            wrong.append(f"files at `{layer.copy_config.dst}`: only folders relative to where the program runs")
        elif kind is None:
            wrong.append("a layer that this version does not know")
        for field in ("pip_packages", "requirements", "python_wheels", "uv_project"):
            if kind == field and getattr(layer, field).secret_mounts:
                wrong.append("secrets while packages are installed: give the server's pip its settings")
    if wrong:
        raise Refused("an image is a Python environment here, and no container. This one needs " + "; ".join(wrong))
    return base["flyte"].replace("-", "+") if base else None


class Builder:
    """Makes one environment, layer by layer."""

    def __init__(self, venv, context):
        self.venv, self.context = venv, context
        self.python = venv / "bin/python"
        self.settings = {"env": {}}
        self.uv = shutil.which("uv")

    def create(self, version):
        interpreter = python_of(version)
        if self.uv:
            run(self.uv, "venv", "--quiet", "--seed", "--python", interpreter, self.venv)
        else:
            run(interpreter, "-m", "venv", self.venv)

    def install(self, *packages, options=None):
        if self.uv:
            command = [self.uv, "pip", "install", "--quiet", "--python", self.python]
        else:
            command = [self.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
        if options is not None:
            command += ["--index-url", options.index_url] if options.index_url else []
            for url in options.extra_index_urls:
                command += ["--extra-index-url", url]
            command += (["--prerelease", "allow"] if self.uv else ["--pre"]) if options.pre else []
            command += shlex.split(options.extra_args)
        run(*command, *packages)

    def inside(self, name):
        """A file of the context, which leads nowhere else."""
        path = (self.context / name).resolve()
        if not path.is_relative_to(self.context.resolve()):
            raise Refused(f"`{name}` leads out of the files of the image")
        return path

    def layer(self, layer):
        kind = layer.WhichOneof("layer")
        of = getattr(layer, kind)
        if kind == "pip_packages":
            if of.packages:
                self.install(*of.packages, options=of.options)
        elif kind == "requirements":
            self.install("-r", self.inside(of.file), options=of.options)
        elif kind == "python_wheels":
            wheels = self.inside(of.dir)
            found = sorted(wheels.glob("*.whl"))
            if not found:
                raise Refused(f"there are no wheels in `{of.dir}`")
            self.install("--find-links", wheels, *found, options=of.options)
        elif kind == "uv_project":
            env = {**os.environ, "UV_PROJECT_ENVIRONMENT": str(self.venv)}
            lock = ["--frozen"] if of.uvlock else []
            run(self.uv, "sync", "--quiet", "--inexact", *lock, "--project", self.inside(of.pyproject), *shlex.split(of.options.extra_args), env=env)
        elif kind == "env":
            self.settings["env"].update(of.env_variables)
        elif kind == "copy_config":
            self.copy(self.inside(of.src), of.dst)
        elif kind == "workdir":
            say(f"the folder `{of.workdir}` is left out: each action has one of its own")

    def copy(self, source, dst):
        files = self.venv / "files"
        target = (files / dst).resolve()
        if not target.is_relative_to(files.resolve()):
            raise Refused(f"`{dst}` leads out of the image")
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copy2(source, target / source.name if target.is_dir() else target)
        for packages in self.venv.glob("lib/python*/site-packages"):
            (packages / "files-of-the-image.pth").write_text(f"{files}\n")

    def sdk(self, version):
        """The SDK, which starts the tasks: of the version that the image is made for, when no layer brought one."""
        asked = subprocess.run([self.python, "-c", "import flyte; print(flyte.__version__)"], capture_output=True, text=True)
        if asked.returncode != 0:
            self.install(f"flyte=={version}" if version else "flyte")


def build(spec, context, image):
    version = check(spec)
    venv = folder_of(image)
    venv.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{venv}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (venv / ".ready").exists():
            say(f"{image} is there already")
            return
        if venv.exists() and not (venv / ".building").exists():
            raise Refused(f"`{venv}` is an environment that the operator made: give the image another name")
        shutil.rmtree(venv, ignore_errors=True)
        builder = Builder(venv, context)
        steps = len(spec.layers) + 2
        say(f"[1/{steps}] a Python {spec.python_version} environment for {image}")
        venv.mkdir()
        (venv / ".building").touch()
        builder.create(spec.python_version)
        (venv / ".building").touch()
        for number, layer in enumerate(spec.layers, start=2):
            say(f"[{number}/{steps}] {layer.WhichOneof('layer').replace('_', ' ')}")
            builder.layer(layer)
        say(f"[{steps}/{steps}] the SDK")
        builder.sdk(version)
        (venv / ".image.json").write_text(json.dumps(builder.settings))
        (venv / ".ready").touch()
        (venv / ".building").unlink()
        say(f"{image} is ready")


def text_of(inputs, name):
    """An input that is a text, or a text in a choice of types."""
    for literal in inputs.literals:
        if literal.name == name:
            scalar = literal.value.scalar
            while scalar.WhichOneof("value") == "union":
                scalar = scalar.union.value.scalar
            return scalar.primitive.string_value
    return ""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--inputs", required=True)
    parser.add_argument("--outputs-path", required=True)
    options, _ = parser.parse_known_args()

    from flyteidl2.core import execution_pb2, literals_pb2
    from flyteidl2.imagebuilder import definition_pb2
    from flyteidl2.task import common_pb2

    store = Store()
    try:
        inputs = common_pb2.Inputs.FromString(store.get(options.inputs))
        spec = definition_pb2.ImageSpec.FromString(store.get(text_of(inputs, "spec")))
        image = text_of(inputs, "target_image")
        with tempfile.TemporaryDirectory() as folder:
            context = Path(folder)
            if text_of(inputs, "context"):
                packed = context / "context.tar.gz"
                packed.write_bytes(store.get(text_of(inputs, "context")))
                with tarfile.open(packed) as tar:
                    tar.extractall(context, filter="data")
            build(spec, context, image)
    except Refused as refused:
        say(f"refused: {refused}")
        error = execution_pb2.ContainerError(
            code="ImageBuildError",
            message=str(refused),
            kind=execution_pb2.ContainerError.NON_RECOVERABLE,
            origin=execution_pb2.ExecutionError.USER,
        )
        store.put(f"{options.outputs_path}/error.pb", execution_pb2.ErrorDocument(error=error).SerializeToString())
        return
    primitive = literals_pb2.Primitive(string_value=image)
    literal = literals_pb2.Literal(scalar=literals_pb2.Scalar(primitive=primitive))
    outputs = common_pb2.Outputs(literals=[common_pb2.NamedLiteral(name="fully_qualified_image", value=literal)])
    store.put(f"{options.outputs_path}/outputs.pb", outputs.SerializeToString())


if __name__ == "__main__":
    main()
