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
# A requirement by name, and one by address. Neither is an option, a file of this machine, or takes variables of this process along.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*( ?\[[A-Za-z0-9._, -]*\])?")
VERSION_OF = r"(?:===|[<>!=~]=|[<>])[A-Za-z0-9.*+_-]+(?:![A-Za-z0-9.*+_-]+)?"
VERSIONS = re.compile(rf"\(?(?:{VERSION_OF}(?:,{VERSION_OF})*,?)?\)?")
ADDRESS = re.compile(r"(https|http|git\+https|git\+ssh)://[A-Za-z0-9][^\s$]*")
MARKER = re.compile(r"""[A-Za-z0-9_.<>=!~()"'+*, -]*""")
INDEX = re.compile(r"https?://[^\s$]+")
ARCHIVE = re.compile(r"\.(whl|zip|egg|tgz|tbz|tlz|txz|tar(\.\w+)?)$", re.IGNORECASE)
HASHES = re.compile(r"(?:[ \t]+--hash=[a-z0-9]+:[0-9A-Fa-f]+)+$")

# Options of pip and uv that change what is chosen, and neither where anything is written nor what of this machine is read.
FLAGS = set(
    """-U --upgrade --pre --no-deps --force-reinstall --reinstall --ignore-installed --no-build-isolation --prefer-binary --no-build
    --no-cache --no-cache-dir --require-hashes --verify-hashes --no-verify-hashes --use-pep517 --no-compile --compile --compile-bytecode --no-sources --no-index
    --strict --exact --inexact --all-extras --all-groups --dev --no-dev --only-dev --no-default-groups --locked --frozen --no-editable
    --no-install-project --no-install-workspace --no-install-local --all-packages --native-tls --system-certs
    -q --quiet -v -vv -vvv --verbose --no-progress""".split()
)
WITH_VALUE = set(
    """--no-binary --only-binary --no-binary-package --no-build-package --no-build-isolation-package --reinstall-package -P --upgrade-package
    --upgrade-strategy --prerelease --resolution --fork-strategy --index-strategy --torch-backend --exclude-newer --exclude-newer-package --extra --no-extra
    --group --no-group --only-group --package --no-install-package --timeout --retries --trusted-host --allow-insecure-host --link-mode --progress-bar
    --python-version --index-url -i --extra-index-url --index --default-index --find-links -f""".split()
)
VALUE = re.compile(r"(?!file:)[A-Za-z0-9:][A-Za-z0-9._,:+*=<>!~\[\]-]*")

# What is held while an environment is made. uv holds `.lock` of the environment that it installs into, and would wait for us.
LOCK = ".building-lock"


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
    """An interpreter of this version on this machine."""
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
    raise Refused(f"this site has no Python {version}: there is {', '.join(sorted(found))}. Ask for one of these (`python_version=`), or have the operator install it")


def inside(context, name):
    """A file of the context, which leads nowhere else."""
    path = (context / name).resolve()
    if not path.is_relative_to(context.resolve()):
        raise Refused(f"`{name}` leads out of the files of the image")
    return path


def is_requirement(text):
    """Whether a text is the name of a package or the address of one, and nothing that an installer could take for something else."""
    text = re.sub(r"[ \t]+", " ", text.strip(" \t"))
    if " -" in text or "\n" in text or len(text) > 2_000:
        return False
    # The semicolon of a marker; in an address it stands after a space.
    if "://" in text:
        what, _, marker = text.partition(" ;")
        name, at, address = what.partition("@ ")
        if not at or "://" in name:
            name, address = "", what
        name = name.strip()
        named = not name if not at else bool(NAME.fullmatch(name))
        return named and bool(ADDRESS.fullmatch(address.strip())) and bool(MARKER.fullmatch(marker))
    what, _, marker = text.partition(";")
    what = what.strip()
    name = NAME.match(what)
    if not name or ARCHIVE.search(what) or not MARKER.fullmatch(marker):
        return False
    return bool(VERSIONS.fullmatch(what[name.end() :].replace(" ", "")))


def requirements_of(text):
    """The lines of a file of requirements, without comments and each in one piece."""
    lines = "\n".join("" if line.lstrip().startswith("#") else line for line in text.splitlines())
    for line in re.sub(r"\\[ \t]*\n", " ", lines).split("\n"):
        line = re.sub(r"(^|\s)#.*$", "", line).strip()
        if line:
            yield line


def wrong_lines(lines):
    """Lines that are no plain requirements. Hashes may stand at their end."""
    return [line for line in lines if not is_requirement(HASHES.sub("", line))]


def wrong_arguments(text):
    """Which arguments for the installer are none that it may be given."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        return [f"{text} ({error})"]
    wrong = []
    words = iter(words)
    for word in words:
        option, equals, value = word.partition("=")
        if word in FLAGS:
            continue
        if option not in WITH_VALUE:
            wrong.append(word)
            continue
        if not equals:
            value = next(words, "")
        if not VALUE.fullmatch(value) and not INDEX.fullmatch(value):
            wrong.append(f"{option} {value}")
    return wrong


def wrong_options(options):
    """What is wrong with the options of a layer."""
    for field in ("index_url", "extra_index_urls"):
        urls = getattr(options, field, None) or []
        for url in [urls] if isinstance(urls, str) else urls:
            if not INDEX.fullmatch(url):
                yield f"an index at `{without_password(url)}`: only addresses of http and https"
    arguments = wrong_arguments(getattr(options, "extra_args", ""))
    if arguments:
        yield f"arguments for the installer (`{without_password(' '.join(arguments))[:200]}`): only those that choose among packages"


def check(spec, context):
    """Refuses what cannot be made, all of it at once, before anything is begun. Gives the version of the SDK to install."""
    wrong = []
    if spec.python_version and not re.fullmatch(r"\d+(\.\d+){0,2}t?", spec.python_version):
        wrong.append(f"a Python of the version `{spec.python_version}`")
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
        elif kind == "pip_packages":
            strange = [text for text in layer.pip_packages.packages if not is_requirement(text)]
            if strange:
                wrong.append(f"packages that are options, files or no requirements (`{without_password('; '.join(strange))[:200]}`)")
        elif kind == "requirements":
            file = inside(context, layer.requirements.file)
            strange = wrong_lines(requirements_of(file.read_text(errors="replace"))) if file.is_file() else [f"there is no {layer.requirements.file}"]
            if strange:
                wrong.append(f"lines of requirements that are options, files or no requirements (`{without_password('; '.join(strange))[:200]}`)")
        elif kind is None:
            wrong.append("a layer that this version does not know")
        if kind in ("pip_packages", "requirements", "python_wheels", "uv_project"):
            wrong.extend(wrong_options(getattr(layer, kind).options))
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
            run(self.uv, "venv", "--quiet", "--seed", "--allow-existing", "--python", interpreter, self.venv)
        else:
            run(interpreter, "-m", "venv", self.venv)

    def install(self, *packages, options=None, before=()):
        """Installs packages. What stands `before` them are our own options."""
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
        run(*command, *before, *(["--", *packages] if packages else []))

    def inside(self, name):
        return inside(self.context, name)

    def layer(self, layer):
        kind = layer.WhichOneof("layer")
        of = getattr(layer, kind)
        if kind == "pip_packages":
            if of.packages:
                self.install(*of.packages, options=of.options)
        elif kind == "requirements":
            # The lines that were looked at, and not the file: an installer reads one in its own way.
            lines = list(requirements_of(self.inside(of.file).read_text(errors="replace")))
            with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
                file.write("".join(f"{line}\n" for line in lines))
                file.flush()
                self.install(options=of.options, before=("-r", file.name))
        elif kind == "python_wheels":
            wheels = self.inside(of.dir)
            found = sorted(wheels.glob("*.whl"))
            if not found:
                raise Refused(f"there are no wheels in `{of.dir}`")
            self.install(*found, options=of.options, before=("--find-links", wheels))
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
    """Fills the folder that the server made for the image. Within walls it is the only one that can be written."""
    version = check(spec, context)
    venv = folder_of(image)
    there = lambda: (venv / ".ready").exists()  # noqa: E731
    if there():
        (venv / ".building").unlink(missing_ok=True)
        say(f"{image} is there already")
        return
    with open(venv / LOCK, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if there():
            # Another build ended while this one was begun.
            (venv / ".building").unlink(missing_ok=True)
            say(f"{image} is there already")
            return
        empty(venv)
        builder = Builder(venv, context)
        steps = len(spec.layers) + 2
        say(f"[1/{steps}] a Python {spec.python_version} environment for {image}")
        builder.create(spec.python_version)
        for number, layer in enumerate(spec.layers, start=2):
            say(f"[{number}/{steps}] {layer.WhichOneof('layer').replace('_', ' ')}")
            builder.layer(layer)
        say(f"[{steps}/{steps}] the SDK")
        builder.sdk(version)
        (venv / ".image.json").write_text(json.dumps(builder.settings))
        (venv / ".ready").touch()
        (venv / ".building").unlink(missing_ok=True)
        say(f"{image} is ready")


def empty(folder):
    """Removes what an earlier build left half made, but for what says so."""
    for entry in folder.iterdir():
        if entry.name in (LOCK, ".building"):
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


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
