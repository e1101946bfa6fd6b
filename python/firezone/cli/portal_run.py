"""`firezone portal init`, `run`, `migrate`, `backup` and `restore`."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from firezone.errors import ConfigError

from .portal_store import Portal, checked, done, installed
from .roles import json_option

if TYPE_CHECKING:
    from firezone.portal.first import First
    from firezone.portal.settings import PortalSettings

__all__ = ["COMMANDS"]

_NEXT: Final = """\
The portal is made. These tokens are shown this once; each is a secret:

  API      {api}
  Gateway  {gateway}
  Client   {client}

Next, on this host:

  {run}

on the Gateway's host:

  FIREZONE_API_URL={url} FIREZONE_TOKEN={gateway} firezone gateway run

on the Client's host:

  FIREZONE_API_URL={url} FIREZONE_TOKEN={client} firezone client up

Then say what may be reached:

  {command} resource create wiki --address wiki.corp.example --site {site}
  {command} policy create --group everyone --resource wiki

or at the page, after: {command} user set-password {email}
"""


@click.command()
@click.option("--email", required=True, help="Address of the first user, an administrator.")
@click.option("--name", help="What people call them.  [default: the address]")
@click.option("--slug", default="main", show_default=True, help="Short name of the account.")
@click.option("--site", default="main", show_default=True, help="Name of the first site.")
@click.option("--url", help="How others will reach it, like wss://portal.example.")
@json_option
@click.pass_obj
def init(
    portal: Portal,
    email: str,
    name: str | None,
    slug: str,
    site: str,
    url: str | None,
    *,
    as_json: bool,
) -> None:
    """Make the database, the first user and tokens, and print the next three commands."""
    import asyncio

    settings = portal.settings(url=url)
    with installed():
        from firezone.portal.first import first_run
        from firezone.portal.inputs import SiteInput, UserInput

        user = checked(UserInput, email=email, name=name or email, role="admin")
        first_site = checked(SiteInput, name=site)
        made = asyncio.run(first_run(settings.database, slug, user, first_site))
    address = settings.url or f"ws://{settings.listen}"
    if as_json:
        document = {
            "schema": "firezone.portal.init/1",
            "account": made.account,
            "url": address,
            "tokens": {"api": made.api, "gateway": made.gateway, "client": made.client},
        }
        click.echo(json.dumps(document))
        return
    click.echo(_text(portal, made, address, site, user.email))


def _text(portal: Portal, made: First, url: str, site: str, email: str) -> str:
    command = "firezone portal"
    if portal.file is not None:
        command += f" --config {portal.file}"
    if portal.database is not None and "@" not in portal.database:
        command += f" --database {portal.database}"
    return _NEXT.format(
        api=made.api,
        gateway=made.gateway,
        client=made.client,
        url=url,
        site=site,
        email=email,
        command=command,
        run=f"{command} run",
    ).rstrip()


@click.command()
@click.option("--listen", help="Address and port, like 0.0.0.0:8080.")
@click.option("--url", help="How Clients and Gateways reach it, like wss://portal.example.")
@click.option("--certificate", type=click.Path(path_type=Path), help="For TLS: a PEM chain.")
@click.option("--key", type=click.Path(path_type=Path), help="Its private key, PEM.")
@click.pass_obj
def run(
    portal: Portal,
    listen: str | None,
    url: str | None,
    certificate: Path | None,
    key: Path | None,
) -> None:
    """Serve Clients, Gateways and the API until Ctrl-C or SIGTERM."""
    settings = portal.settings(listen=listen, url=url, certificate=certificate, key=key)
    from firezone.logs import open_logs

    logs = open_logs(
        "portal",
        level=settings.log_level,
        form=settings.log_format,
        folder=settings.log_dir,
    )
    try:
        with installed():
            _serve(settings, logs)
    finally:
        logs.close()


def _serve(settings: PortalSettings, logs: Any) -> None:
    import logging

    import uvicorn

    from firezone.logs import StdlibHandler
    from firezone.portal.app import create_app

    if (settings.certificate is None) != (settings.key is None):
        raise ConfigError("TLS needs a certificate and its key", setting="certificate")
    listening = _listen(settings.listen)
    handler = StdlibHandler(logs)
    for name in ("uvicorn", "websockets"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.WARNING)
    config = uvicorn.Config(
        create_app(settings.database, log=logs.logger, url=settings.url),
        # The path of an old component's request may hold a token.
        access_log=False,
        log_config=None,
        server_header=False,
        # Policies ask where a Client comes from: that must be nobody's to say.
        proxy_headers=settings.trusted_proxies is not None,
        forwarded_allow_ips=settings.trusted_proxies,
        ws="websockets-sansio",
        # Components send heartbeats of their own; whoever sends none is given up by its session.
        ws_ping_interval=None,
        ws_max_size=2**20,
        ws_per_message_deflate=False,
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.key,
        timeout_graceful_shutdown=5,
    )
    host, port = listening.getsockname()[:2]
    logs.logger.info(
        "the portal listens",
        event_name="portal.listens",
        address=host,
        port=port,
        tls=settings.certificate is not None,
    )
    # The server takes this signal, ends in order, and raises it again for whoever had it before.
    signal.signal(signal.SIGTERM, lambda *_: None)
    uvicorn.Server(config).run(sockets=[listening])
    logs.logger.info("the portal has ended", event_name="portal.ended")


def _listen(text: str) -> Any:
    """Open the socket, before anything else is begun."""
    import socket

    from firezone import socket_address

    try:
        host, port = socket_address.parse(text)
    except ValueError as error:
        raise ConfigError(f"listen: {error}", setting="listen") from error
    family = socket.AF_INET6 if ":" in str(host) else socket.AF_INET
    try:
        return socket.create_server((str(host), port), family=family, backlog=1024)
    except OSError as error:
        message = f"nobody can listen at {text}: {error.strerror}"
        raise ConfigError(message, setting="listen", hint="choose another port") from error


@click.command()
@json_option
@click.pass_obj
def migrate(portal: Portal, *, as_json: bool) -> None:
    """Bring the database's tables up to date; make a backup first."""
    import asyncio

    url = portal.settings().database

    async def work() -> None:
        from firezone.portal.store import Store

        await (await Store.open(url, serves=False)).close()

    with installed():
        asyncio.run(work())
    if as_json:
        click.echo(json.dumps({"schema": "firezone.portal.migrate/1", "done": True}))


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@json_option
@click.pass_obj
def backup(portal: Portal, file: Path, *, as_json: bool) -> None:
    """Write all of an SQLite database into FILE, while the portal runs; FILE holds secrets."""
    with installed():
        from firezone.portal.backup import backup as write
        from firezone.portal.database import Database

        size = write(Database(portal.settings().database, serves=False), file)
    if as_json:
        document = {"schema": "firezone.portal.backup/1", "file": str(file), "bytes": size}
        click.echo(json.dumps(document))


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--replace", is_flag=True, help="Let it take the place of a database that is there.")
@json_option
@click.pass_obj
def restore(portal: Portal, file: Path, *, replace: bool, as_json: bool) -> None:
    """Put the backup FILE in the place of the database; no portal may run on it."""
    with installed():
        from firezone.portal.backup import restore as put
        from firezone.portal.database import Database

        put(Database(portal.settings().database, serves=False), file, replaces=replace)
    done("restore", as_json=as_json)


COMMANDS: Final = (init, run, migrate, backup, restore)
