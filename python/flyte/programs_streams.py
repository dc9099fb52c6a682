"""Programs that say much, and one that looks whom its process calls."""

import asyncio
import sys

import flyte

env = flyte.TaskEnvironment(name="streams")


@env.task
async def says_much(lines: int) -> int:
    for number in range(lines):
        print(f"{number:08} {'x' * 240}")
    return lines


CALLED: list[str] = []


def note(event: str, arguments: tuple):
    """Everything that a process of Python asks of the network comes by here."""
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        CALLED.append(str(arguments[1] if event == "socket.connect" else arguments[0]))


sys.addaudithook(note)


@env.task
async def child(x: int) -> int:
    raise ValueError("an error that its makers would like to hear of")


@env.task
async def looks_whom_it_calls() -> list[str]:
    """Whom this process has called, after an error of its own and one of a child; and that somebody looked."""
    import socket

    from flyte import _sentry

    try:
        await child(1)
    except Exception as error:
        # As the SDK does with what it takes for its own fault.
        _sentry.init()
        _sentry.capture_exception(error)
    try:
        socket.getaddrinfo("somebody.invalid", 443)
    except OSError:
        pass
    await asyncio.sleep(0)
    return CALLED
