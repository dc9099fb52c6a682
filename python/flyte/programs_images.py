"""Tasks whose images have layers."""

import os

import flyte

layered = flyte.Image.from_debian_base(name="layered").with_pip_packages("six==1.17.0").with_env_vars({"FLAVOUR": "mint", "OWN": "image"})
env = flyte.TaskEnvironment(name="layered", image=layered, env_vars={"OWN": "task"})
apt = flyte.TaskEnvironment(name="apt", image=flyte.Image.from_debian_base(name="apt").with_apt_packages("graphviz"))
shell = flyte.TaskEnvironment(name="shell", image=flyte.Image.from_debian_base(name="shell").with_commands(["make -C /opt all"]))


@env.task
async def has_what_its_image_says(x: int) -> list[str]:
    import six

    return [six.__version__, os.environ["FLAVOUR"], os.environ["OWN"], str(x)]


@apt.task
async def needs_debian() -> int:
    return 1


@shell.task
async def needs_commands() -> int:
    return 1
