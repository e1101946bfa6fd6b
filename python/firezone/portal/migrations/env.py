"""What Alembic runs for each migration: on the connection that it was given, in its transaction."""

from __future__ import annotations

from alembic import context

from firezone.portal.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite can do all at once or nothing, if it is told to.
    transactional_ddl=True,
    render_as_batch=True,
)
context.run_migrations()
