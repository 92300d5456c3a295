"""Serves a lab until it is stopped: the application, and the workers beside it."""

from __future__ import annotations

import contextlib
import errno
import secrets
import socket
import threading
from collections.abc import Callable, Iterator

import uvicorn

from isoflop.base.errors import UserError
from isoflop.labs.backends import load_backend
from isoflop.labs.lab import Lab
from isoflop.labs.server.app import create_app
from isoflop.labs.server.service import Service
from isoflop.labs.store.opening import open_store
from isoflop.labs.workers.supervisor import Supervisor

GRACEFUL_SECONDS = 5
TOKEN_BYTES = 32
BACKLOG = 2048
"""Connections that may wait to be accepted."""


def serve(
    lab: Lab, host: str, port: int, n_workers: int, url: str | None, announce: Callable[[str, str], None]
) -> None:
    """Serves until a signal stops it; `announce` is called with the address, once it can be reached, and with
    the token of the instructor's page.

    Port 0 is any that is free. Raises `UserError` for a port in use and for a database out of reach.
    """
    token = secrets.token_urlsafe(TOKEN_BYTES)
    with _opened(lab, host, port, n_workers, url, token) as (address, run, _):
        announce(address, token)
        with contextlib.suppress(KeyboardInterrupt):
            run()


@contextlib.contextmanager
def serving(lab: Lab, host: str, port: int, n_workers: int, url: str | None) -> Iterator[str]:
    """Serves from a thread while the context lasts, at the address that it gives; errors as of `serve`."""
    with _opened(lab, host, port, n_workers, url) as (address, run, stop):
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield address
        finally:
            stop()
            thread.join()


@contextlib.contextmanager
def _opened(
    lab: Lab, host: str, port: int, n_workers: int, url: str | None, token: str | None = None
) -> Iterator[tuple[str, Callable[[], None], Callable[[], None]]]:
    """The address, what serves until it is stopped, and what stops it; workers run meanwhile."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(contextlib.closing(_listen(host, port)))
        served = _with_workers(stack, lab, url, n_workers)
        own = lab.practice()
        practice = None if own is None else _with_workers(stack, own, None, min(n_workers, 1))
        app = create_app(served, practice, token)
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                lifespan="off",  # there is none, and a second Ctrl-C would print its end as a failure
                timeout_graceful_shutdown=GRACEFUL_SECONDS,
            )
        )
        address = listening.getsockname()
        shown = f"[{address[0]}]" if ":" in address[0] else address[0]
        yield (
            f"http://{shown}:{address[1]}",
            lambda: server.run(sockets=[listening]),
            lambda: setattr(server, "should_exit", True),
        )


def _with_workers(stack: contextlib.ExitStack, lab: Lab, url: str | None, n_workers: int) -> Service:
    """A lab opened, and its workers started; the stack ends both."""
    url = url or lab.default_database
    store = stack.enter_context(contextlib.closing(open_store(lab, url)))
    backend = load_backend(lab)
    stack.enter_context(Supervisor(lab.folder, url, store, n_workers))
    return Service(lab, store, backend)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror:
        raise UserError(f"--host {host}: is no address that is known here") from None
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise UserError(f"--port {port}: is in use: choose another, or 0 for any that is free") from None
        raise UserError(f"--host {host} --port {port}: {error.strerror}") from None
    return listening
