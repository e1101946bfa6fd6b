"""Alembic scripts: how older tables become those of `firezone.portal.tables`."""
