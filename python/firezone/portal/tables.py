"""The tables, the same in SQLite and PostgreSQL.

Every row but a relay's belongs to an account, and every reference carries the account along: the
database itself refuses a policy that joins one account's group to another's resource.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

__all__ = [
    "accounts",
    "audit",
    "authorizations",
    "devices",
    "groups",
    "memberships",
    "metadata",
    "outbox",
    "policies",
    "presences",
    "processes",
    "relays",
    "resources",
    "sites",
    "tokens",
    "users",
]

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_LONGEST_NAME: Final = 255
# SQLite numbers rows by itself only in a column of exactly this type.
_NUMBER: Final = BigInteger().with_variant(Integer, "sqlite")


def _id() -> Column[str]:
    return Column("id", String(36), primary_key=True)


def _account() -> Column[str]:
    owner = ForeignKey("accounts.id", ondelete="CASCADE")
    return Column("account_id", String(36), owner, nullable=False)


def _time(name: str, *, nullable: bool = True) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)


def _name(name: str = "name", *, nullable: bool = False) -> Column[str]:
    return Column(name, String(_LONGEST_NAME), nullable=nullable)


def _reference(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, String(36), nullable=nullable)


def _owned(column: str, table: str, ondelete: str = "CASCADE") -> ForeignKeyConstraint:
    """Refer to a row of the same account."""
    return ForeignKeyConstraint(
        ["account_id", column], [f"{table}.account_id", f"{table}.id"], ondelete=ondelete
    )


def _owner(name: str, *items: Any) -> Table:
    """Return a table of an account's rows, which others may refer to."""
    return Table(name, metadata, _id(), _account(), *items, UniqueConstraint("account_id", "id"))


accounts: Final = Table(
    "accounts",
    metadata,
    _id(),
    Column("slug", String(63), nullable=False, unique=True),
    _name(),
    Column("search_domain", String(_LONGEST_NAME)),
    Column("upstream_dns", JSON, nullable=False),
    Column("ingest_key", LargeBinary, nullable=False),
    Column("next_host", Integer, nullable=False),
    _time("created_at", nullable=False),
)

users: Final = _owner(
    "users",
    _name(),
    _name("email"),
    Column("role", String(16), nullable=False),
    Column("password_hash", Text),
    _time("disabled_at"),
    _time("created_at", nullable=False),
    UniqueConstraint("account_id", "email"),
)

groups: Final = _owner(
    "groups",
    _name(),
    Column("is_everyone", Boolean, nullable=False),
    _time("created_at", nullable=False),
    UniqueConstraint("account_id", "name"),
)

memberships: Final = Table(
    "memberships",
    metadata,
    _account(),
    Column("user_id", String(36), primary_key=True),
    Column("group_id", String(36), primary_key=True),
    _owned("user_id", "users"),
    _owned("group_id", "groups"),
    Index("ix_memberships_group_id", "group_id"),
)

sites: Final = _owner(
    "sites",
    _name(),
    _time("created_at", nullable=False),
    UniqueConstraint("account_id", "name"),
)

devices: Final = _owner(
    "devices",
    Column("kind", String(16), nullable=False),
    _reference("user_id", nullable=True),
    _reference("site_id", nullable=True),
    _name("external_id"),
    _name(),
    Column("host", Integer, nullable=False),
    Column("psk_base", LargeBinary, nullable=False),
    Column("public_key", String(44)),
    Column("version", String(64)),
    Column("user_agent", String(_LONGEST_NAME)),
    Column("remote_ip", String(64)),
    _time("last_seen_at"),
    _time("verified_at"),
    _time("created_at", nullable=False),
    _owned("user_id", "users"),
    _owned("site_id", "sites"),
    UniqueConstraint("account_id", "host"),
    UniqueConstraint("user_id", "external_id"),
    UniqueConstraint("site_id", "external_id"),
    CheckConstraint("(user_id IS NULL) <> (site_id IS NULL)", name="one_owner"),
)

resources: Final = _owner(
    "resources",
    Column("kind", String(16), nullable=False),
    _name(),
    _name("address"),
    Column("description", String(_LONGEST_NAME)),
    Column("ip_stack", String(16), nullable=False),
    Column("filters", JSON, nullable=False),
    _reference("site_id", nullable=True),
    _time("created_at", nullable=False),
    # A site that goes must first give its resources up: the store does that, with what follows.
    _owned("site_id", "sites", ondelete="RESTRICT"),
    UniqueConstraint("account_id", "name"),
    Index("ix_resources_site_id", "site_id"),
)

policies: Final = _owner(
    "policies",
    _reference("group_id"),
    _reference("resource_id"),
    Column("conditions", JSON, nullable=False),
    Column("description", String(_LONGEST_NAME)),
    _time("disabled_at"),
    _time("created_at", nullable=False),
    _owned("group_id", "groups"),
    _owned("resource_id", "resources"),
    UniqueConstraint("group_id", "resource_id"),
    Index("ix_policies_resource_id", "resource_id"),
)

tokens: Final = Table(
    "tokens",
    metadata,
    _id(),
    # A relay's belongs to nobody.
    Column("account_id", String(36), ForeignKey("accounts.id", ondelete="CASCADE")),
    Column("kind", String(16), nullable=False),
    _name(),
    Column("digest", String(64), nullable=False, unique=True),
    _reference("user_id", nullable=True),
    _reference("site_id", nullable=True),
    _reference("device_id", nullable=True),
    Column("scopes", JSON, nullable=False),
    _time("expires_at"),
    _time("revoked_at"),
    _time("last_used_at"),
    _time("created_at", nullable=False),
    _owned("user_id", "users"),
    _owned("site_id", "sites"),
    _owned("device_id", "devices"),
    Index("ix_tokens_account_id", "account_id"),
)

authorizations: Final = Table(
    "authorizations",
    metadata,
    _id(),
    _account(),
    _reference("client_id"),
    _reference("user_id"),
    _reference("gateway_id"),
    _reference("resource_id"),
    _reference("policy_id"),
    _reference("group_id"),
    _reference("token_id"),
    Column("needs_verified", Boolean, nullable=False),
    _time("expires_at", nullable=False),
    _time("created_at", nullable=False),
    _time("confirmed_at"),
    _owned("client_id", "devices"),
    _owned("gateway_id", "devices"),
    _owned("resource_id", "resources"),
    _owned("policy_id", "policies"),
    UniqueConstraint("client_id", "gateway_id", "resource_id"),
    Index("ix_authorizations_gateway_id", "gateway_id"),
    Index("ix_authorizations_resource_id", "resource_id"),
    Index("ix_authorizations_policy_id", "policy_id"),
    Index("ix_authorizations_expires_at", "expires_at"),
)

audit: Final = Table(
    "audit",
    metadata,
    Column("id", _NUMBER, primary_key=True, autoincrement=True),
    _account(),
    _time("at", nullable=False),
    _name("actor"),
    Column("action", String(64), nullable=False),
    Column("object_id", String(36)),
    Column("details", JSON, nullable=False),
    Index("ix_audit_account_id_id", "account_id", "id"),
)

processes: Final = Table(
    "processes",
    metadata,
    _id(),
    _time("seen_at", nullable=False),
)

presences: Final = Table(
    "presences",
    metadata,
    Column("device_id", String(36), primary_key=True),
    _account(),
    _reference("session_id"),
    Column(
        "process_id", String(36), ForeignKey("processes.id", ondelete="CASCADE"), nullable=False
    ),
    _reference("token_id"),
    Column("public_key", String(44), nullable=False),
    Column("version", String(64)),
    Column("remote_ip", String(64)),
    Column("iceless", Boolean, nullable=False),
    _time("joined_at", nullable=False),
    _owned("device_id", "devices"),
    Index("ix_presences_process_id", "process_id"),
)

relays: Final = Table(
    "relays",
    metadata,
    _id(),
    Column("stamp_secret", String(_LONGEST_NAME), nullable=False),
    Column("addresses", JSON, nullable=False),
    Column(
        "process_id", String(36), ForeignKey("processes.id", ondelete="CASCADE"), nullable=False
    ),
    Column("token_id", String(36), nullable=False),
    _time("joined_at", nullable=False),
)

outbox: Final = Table(
    "outbox",
    metadata,
    Column("id", _NUMBER, primary_key=True, autoincrement=True),
    Column("event", Text, nullable=False),
)
"""Events of other programs that change an SQLite database, until the portal has taken them."""
