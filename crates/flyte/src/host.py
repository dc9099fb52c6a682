"""A Python that has imported the Flyte SDK and is forked for each action, so that none pays for the imports.

    python host.py check                    whether the SDK of this environment is one that this program knows
    python host.py nursery SHIM [ARGUMENT]  makes wrappers, each with a child that waits for what to run

The nursery is told on its standard input, a socket: each byte comes with a descriptor, and becomes a process that is the wrapper of an
attempt (SHIM), with a child. The wrapper hands its child an order over a socket of their own: JSON after its length, with descriptors of
where it prints, and of where it works or what leads into its walls. A child that is not to be reused ends like any process. One that is says how
the action ended, and waits.

What the SDK does not promise is used in `Sdk` and nowhere else, and checked by `check`; another SDK starts cold.
"""

import ctypes
import fcntl
import importlib
import json
import os
import signal
import socket
import struct
import sys

# The minor versions of the SDK that the tests of Tutti run with.
KNOWN = ("2.11", "2.12")
# Written over with that of the attempt, so that whoever looks for its processes finds the forked ones too.
MARK = "TUTTI_OUTPUT"
MARK_BYTES = 4096
# What comes with an order at most.
DESCRIPTORS_MAX = 8


# What the SDK imports when it first needs it, which every action does. Not all versions have all of it.
EVERYBODY_NEEDS = (
    "docstring_parser",
    "faulthandler",
    "flyte._internal.resolvers.default",
    "flyte._utils.asyncify",
    "flyte.git",
    "flyte.remote._client.auth._interceptors.default_metadata",
    "flyte.remote._client.auth._interceptors.retry",
    "flyte.remote._client.controlplane",
    "h11",
    "httpcore",
    "opentelemetry.baggage.propagation",
    "opentelemetry.metrics",
    "opentelemetry.propagate",
    "opentelemetry.trace.propagation.tracecontext",
    "pyqwest._glue",
)


class Unfit(Exception):
    """The SDK is not one that this program knows."""


class Sdk:
    """The SDK: its entry point, and what of its inside has to be known to fork it and to use it again."""

    def __init__(self):
        import flyte
        from flyte._bin import runtime
        from flyte.syncify import syncify

        self.version = flyte.__version__
        if ".".join(self.version.split(".")[:2]) not in KNOWN:
            raise Unfit(f"flyte {self.version} is not one of {', '.join(KNOWN)}")
        # Imported here, what an action needs is there in every fork of this process.
        import flyte._internal.controllers.remote._client
        import flyte._internal.controllers.remote._controller
        import flyte._internal.runtime.entrypoints
        import flyte._internal.runtime.rusty
        import flyte.io
        import flyte.remote
        import flyte.storage._parallel_reader  # noqa: F401

        for name in EVERYBODY_NEEDS:
            try:
                importlib.import_module(name)
            except ImportError:
                pass
        self.main = runtime.main
        self.loop = syncify._bg_loop
        for name in ("loop", "thread", "_run", "stop"):
            if not hasattr(self.loop, name):
                raise Unfit(f"the loop beside the program has no `{name}`")
        missing = {"inputs", "outputs_path", "run_base_dir", "tgz", "pkl", "resolver"} - {p.name for p in self.main.params}
        if missing:
            raise Unfit(f"the entry point takes no {sorted(missing)}")

    def rest(self):
        """Ends the thread that importing the SDK began: forks have only the thread that forked."""
        import threading

        self.loop.stop()
        if threading.active_count() != 1:
            raise Unfit(f"these threads cannot be forked: {threading.enumerate()}")

    def wake(self):
        """Begins the thread again, on a loop of this process's own."""
        import asyncio
        import threading

        from flyte._logging import initialize_logger

        self.loop.loop = asyncio.new_event_loop()
        self.loop.thread = threading.Thread(name=self.loop.thread.name, target=self.loop._run, daemon=True)
        self.loop.thread.start()
        initialize_logger()

    def run(self, arguments):
        """Runs one action as the entry point does. Gives the exit code."""
        try:
            self.main(args=arguments, prog_name="a0")
        except SystemExit as ended:
            return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        return 0


class Kept:
    """Runs one action after another, as reusable environments ask for. Code and connections stay; where values lie does not."""

    def __init__(self, sdk):
        import asyncio

        self.sdk = sdk
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        self.controller = None
        self.address = ""
        self.bundles = {}
        self.tasks = {}

    def run(self, arguments):
        with self.sdk.main.make_context("a0", list(arguments)) as context:
            return self.loop.run_until_complete(self.act(context.params))

    async def act(self, given):
        import flyte.errors
        from flyte._internal.runtime.convert import convert_from_native_to_error
        from flyte._internal.runtime.io import upload_error

        # The address holds the token of the attempt, where the server wants one.
        if self.controller is None or self.address != os.environ["_U_EP_OVERRIDE"]:
            await self.connect(given)
        try:
            await self.act_under_watch(given)
        except (flyte.errors.RuntimeSystemError, flyte.errors.RuntimeUserError) as error:
            said = convert_from_native_to_error(error)
            await upload_error(said.err, given["outputs_path"], recoverable=said.recoverable)
        return 0

    async def connect(self, given):
        from flyte._initialize import init_in_cluster
        from flyte._internal.controllers import create_controller

        names = {name: given[name] for name in ("org", "project", "domain")}
        self.address = os.environ["_U_EP_OVERRIDE"]
        self.controller = create_controller(ct="remote", **await init_in_cluster.aio(**names))

    async def act_under_watch(self, given):
        """The action, unless the connection to the server is lost for good meanwhile."""
        import asyncio

        action = asyncio.ensure_future(self.load_and_run(given))
        watch = asyncio.ensure_future(self.controller.watch_for_errors())
        done, _ = await asyncio.wait({action, watch}, return_when=asyncio.FIRST_COMPLETED)
        if watch in done:
            self.controller = None
        for one in {action, watch} - done:
            one.cancel()
            await asyncio.wait({one})
        for one in done:
            one.result()

    async def load_and_run(self, given):
        from datetime import datetime, timezone

        import flyte._internal.runtime.rusty as runner

        try:
            bundle, task = await self.load(given)
        except Exception as error:
            from flyte._internal.runtime.convert import convert_from_native_to_error
            from flyte._internal.runtime.io import upload_error

            said = convert_from_native_to_error(error)
            await upload_error(said.err, given["outputs_path"], recoverable=said.recoverable)
            return
        begins = datetime(1970, 1, 1, tzinfo=timezone.utc)
        if given["run_start_time"]:
            begins = datetime.fromisoformat(given["run_start_time"].replace("Z", "+00:00"))
        names = ("org", "project", "domain", "run_name", "name", "raw_data_path", "run_base_dir", "version", "image_cache")
        await runner.run_task(
            task,
            self.controller,
            **{name: given[name] for name in names},
            output_path=given["outputs_path"],
            checkpoint_path=given["checkpoint_path"],
            prev_checkpoint=given["prev_checkpoint"],
            code_bundle=bundle,
            input_path=given["inputs"],
            run_start_time=begins,
        )

    async def load(self, given):
        import flyte._internal.runtime.rusty as runner

        where = given["tgz"] or given["pkl"]
        known = (where, given["resolver"], *given["resolver_args"])
        if known not in self.tasks:
            bundle = self.bundles.get(where)
            if given["pkl"]:
                bundle, task = await runner.download_load_pkl(given["dest"] or ".", given["version"], given["pkl"])
            else:
                if given["tgz"] and bundle is None:
                    bundle = await runner.download_tgz(given["dest"] or ".", given["version"], given["tgz"])
                sys.path[:0] = [] if "." in sys.path else ["."]
                task = runner.load_task_from_code_bundle(given["resolver"], list(given["resolver_args"]))
            self.bundles[where] = bundle
            self.tasks[known] = task
        return self.bundles[where], self.tasks[known]


def receive(channel):
    """An order and its descriptors; None when there will be none."""
    head, descriptors, _, _ = socket.recv_fds(channel, 4, DESCRIPTORS_MAX)
    if not head:
        return None, []
    while len(head) < 4:
        head += channel.recv(4 - len(head)) or sys.exit(1)
    (left,) = struct.unpack(">I", head)
    parts = []
    while left:
        part = channel.recv(min(left, 1 << 20))
        if not part:
            return None, []
        parts.append(part)
        left -= len(part)
    return json.loads(b"".join(parts)), descriptors


def write_mark(place, value):
    """What `/proc` shows of the environment is what a process was started with: this is where it lies."""
    value = os.fsencode(value) + b"\0"
    if place and len(value) < MARK_BYTES:
        ctypes.memmove(place, value, len(value))


class Libc:
    """Calls of the system that Python does not have."""

    def __init__(self):
        self.library = ctypes.CDLL(None, use_errno=True)

    def call(self, name, *arguments):
        done = getattr(self.library, name)(*arguments)
        if done < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"{name}: {os.strerror(number)}")
        return done

    def prctl(self, *arguments):
        self.call("prctl", *(ctypes.c_ulong(one) for one in (*arguments, 0, 0, 0, 0)[:5]))


SET_DUMPABLE, SET_FILTER, DROP_FROM_BOUND, NO_NEW_RIGHTS, AMBIENT, CLEAR_AMBIENT = 4, 22, 24, 38, 47, 4
RESTRICT_SELF = 446


class Program(ctypes.Structure):
    """A filter of system calls."""

    _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_char_p)]


def go_in(walls, namespaces, rules):
    """Goes into the walls of an attempt, which were built around nothing, and shuts itself in: whatever it starts from now on is inside, and can do
    what a process that was started there can. This process has one thread."""
    libc = Libc()
    for namespace in namespaces:
        libc.call("setns", namespace, 0)
    # Nothing of where it was leads out.
    os.chdir(walls["work"])
    libc.prctl(NO_NEW_RIGHTS, 1)
    for number in range(64):
        try:
            libc.prctl(DROP_FROM_BOUND, number)
        except OSError:
            break
    libc.prctl(AMBIENT, CLEAR_AMBIENT)
    libc.call("capset", (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)())
    for one in rules:
        libc.call("syscall", ctypes.c_long(RESTRICT_SELF), ctypes.c_long(one), ctypes.c_long(0))
    # The wrapper looks whether it is inside, and measures it.
    libc.prctl(SET_DUMPABLE, 1)
    for descriptor in (*namespaces, *rules):
        os.close(descriptor)
    for steps in map(bytes.fromhex, walls["filters"]):
        program = Program(len(steps) // 8, steps)
        libc.prctl(SET_FILTER, 2, ctypes.addressof(program))


def become_one_within(walls, descriptors, channel):
    """Has the process of the attempt made inside, tells the wrapper which it is, and ends in its favour: whoever enters a namespace of processes is not
    in it, but his children are. Where that fails nothing of the order is begun."""
    number = walls["namespaces"]
    try:
        go_in(walls, descriptors[:number], descriptors[number:])
        child = os.fork()
    except BaseException as error:
        channel.sendall(struct.pack(">I", 0) + f"{type(error).__name__}: {error}".encode()[:900])
        os._exit(1)
    if child:
        channel.sendall(struct.pack(">I", child))
        os._exit(0)
    os.setsid()


def take(order, descriptors, mark, channel):
    """Becomes the process of an attempt: prints and works where it does, and knows what it is told."""
    import tempfile
    import time

    out, err, *others = descriptors
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.close(out)
    os.close(err)
    if order["walls"]:
        become_one_within(order["walls"], others, channel)
        # The wrapper looks whether this process is really inside; one that is over already could not be looked at.
        if not channel.recv(1):
            os._exit(1)
    elif others:
        [work] = others
        os.fchdir(work)
        os.close(work)
    environment = dict(order["environment"])
    if order["within"] and order["keep"]:
        environment["HOME"] = order["home"]
    environment["PATH"] = os.path.dirname(sys.executable) + os.pathsep + environment.get("PATH", "")
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    tempfile.tempdir = None
    write_mark(mark, environment.get(MARK, ""))
    sys.argv = ["a0", *order["arguments"]]


def let_go():
    """Nothing of this attempt holds its logs open."""
    sys.stdout.flush()
    sys.stderr.flush()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


def leave(code):
    """Ends as a program does, without taking the modules apart one by one."""
    import atexit
    import threading

    try:
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def wait_for_orders(channel, sdk, mark):
    """The life of a child of a wrapper."""
    os.setsid()
    order, descriptors = receive(channel)
    if order is None:
        os._exit(0)
    take(order, descriptors, mark, channel)
    sdk.wake()
    if not order["keep"]:
        channel.close()
        code = 1
        try:
            code = sdk.run(order["arguments"])
        except BaseException:
            import traceback

            traceback.print_exc()
        leave(code)
    # Code of the program lies beside what it works with, and stays as long as the process does.
    os.chdir(order["home"])
    fcntl.flock(os.open(order["home"], os.O_RDONLY), fcntl.LOCK_SH)
    kept = Kept(sdk)
    while order is not None:
        code = 0
        try:
            code = kept.run(order["arguments"])
        except BaseException:
            import traceback

            traceback.print_exc()
            leave(1)
        let_go()
        channel.sendall(struct.pack(">I", code))
        order, descriptors = receive(channel)
        if order is not None:
            take(order, descriptors, mark, channel)
            os.chdir(order["home"])
    leave(0)


def make_wrapper(connection, orders, sdk, mark, shim):
    """Forks a process that becomes a wrapper, with a child that has the SDK. Gives nothing in the nursery itself."""
    if os.fork():
        return
    try:
        orders.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        ours, theirs = socket.socketpair()
        child = os.fork()
        if child == 0:
            ours.close()
            os.close(connection)
            nowhere = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(nowhere, descriptor)
            os.close(nowhere)
            wait_for_orders(theirs, sdk, mark)
        theirs.close()
        os.dup2(connection, 0)
        os.dup2(connection, 1)
        os.dup2(ours.fileno(), 2)
        os.execve(shim[0], [*shim, f"--host={child}"], {})
    finally:
        os._exit(1)


def nursery(shim):
    # Whatever the server was started with that is not its own.
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    libc = ctypes.CDLL(None)
    libc.getenv.restype = ctypes.c_void_p
    mark = libc.getenv(MARK.encode())
    orders = socket.socket(fileno=os.dup(0))
    try:
        sdk = Sdk()
        sdk.rest()
    except Exception as error:
        orders.sendall(f"unfit {type(error).__name__}: {error}\n".encode())
        return
    # Nobody waits for wrappers: they are the server's business.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    import gc

    gc.collect()
    gc.freeze()
    orders.sendall(f"ready {sdk.version}\n".encode())
    while True:
        byte, descriptors, _, _ = socket.recv_fds(orders, 1, 1)
        if not byte:
            return
        for connection in descriptors:
            make_wrapper(connection, orders, sdk, mark, shim)
            os.close(connection)


def main():
    if sys.argv[1] == "check":
        try:
            sdk = Sdk()
            sdk.rest()
        except Exception as error:
            sys.exit(f"unfit {type(error).__name__}: {error}")
        print(f"ready {sdk.version}")
    else:
        nursery(sys.argv[2:])


if __name__ == "__main__":
    main()
