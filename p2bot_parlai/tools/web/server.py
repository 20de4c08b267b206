"""Serves a page on a port until Ctrl-C."""

import asyncio
import logging
import socket

import uvicorn
from starlette.types import ASGIApp

from p2bot_parlai.errors import P2botError


def bind(host: str, port: int) -> socket.socket:
    """
    A listening socket.

    :raises P2botError: if the port is taken or not permitted, or the host is not this machine's.
    """
    try:
        if not 0 <= port <= 65535:
            raise OverflowError("a port is a number from 0 to 65535")
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, socket.SOCK_STREAM)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(128)
    except (OSError, OverflowError) as error:
        raise P2botError(
            f"cannot serve on --host {host} --port {port}: {error}; choose another --port"
        ) from error
    return found


def address(listening: socket.socket) -> str:
    """The URL to open in a browser."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(
    app: ASGIApp, listening: socket.socket, patience: int | None = 1, requests: int | None = None
) -> None:
    """
    Serve until Ctrl-C or SIGTERM; open connections then finish, or a second Ctrl-C cuts them off.

    :param patience: seconds that they get; None: all they need.
    :param requests: at once; others are refused with 503. None: any number.
    """
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=patience,
        limit_concurrency=requests,
        ws="none",
    )
    logging.getLogger("uvicorn.error").addFilter(_is_news)
    uvicorn.Server(config).run(sockets=[listening])


def _is_news(record: logging.LogRecord) -> bool:
    """Not that the end cuts off browsers which still listen."""
    cut_off = record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError)
    return not cut_off and "graceful shutdown" not in record.getMessage()
