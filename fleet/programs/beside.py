"""A server beside a program, in a process of its own that ends with it.

What runs the program listens, has the server begun, and becomes the program.
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
CHUNK = 65_536


def begin(file: str, words: str) -> int:
    """Have the Python `file` run with `words`, where it is to `serve`; the port on 127.0.0.1.

    This process is what it is to end with.
    """
    listening = socket.create_server(("127.0.0.1", 0))
    program = os.pidfd_open(os.getpid())
    if os.fork() == 0:
        # In an environment of its own, so that nobody takes it for the program.
        files = (listening.fileno(), program)
        for one in files:
            os.set_inheritable(one, True)
        argv = [sys.executable, "-IS", file, "--serve", *map(str, files), words]
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        os.dup2(0, 1)
        os.execve(sys.executable, argv, {})  # noqa: S606
    return int(listening.getsockname()[1])


def run(main: Callable[[Sequence[str]], None], make: Callable[[str], Awaitable[Answer]]) -> None:
    """What this process was begun for: `main` with its arguments, or to `serve` beside it."""
    if sys.argv[1] == "--serve":
        serve(make)
    else:
        main(sys.argv[1:])


def serve(make: Callable[[str], Awaitable[Answer]]) -> None:
    """Answer each connection by what `make` makes of the words, until the program has ended."""
    # The program that reads by it is asked alike, and says itself when it has ended.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    listening, program, words = sys.argv[2:]
    asyncio.run(_serve(socket.socket(fileno=int(listening)), int(program), make(words)))


async def _serve(listening: socket.socket, program: int, making: Awaitable[Answer]) -> None:
    loop = asyncio.get_running_loop()
    answer = await making
    ended = asyncio.Event()
    loop.add_reader(program, ended.set)
    server = await asyncio.start_server(answer, sock=listening, limit=CHUNK)
    await ended.wait()
    # What is cut off now is no error; told, it would bury the program's own last words.
    loop.set_exception_handler(lambda *_: None)
    server.close()


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """All that comes, until it ends."""
    with suppress(OSError):
        while some := await reader.read(CHUNK):
            writer.write(some)
            await writer.drain()
