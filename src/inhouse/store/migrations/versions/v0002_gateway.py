"""The gateway's teams, keys, usage rows and their sums by day."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

run_id = sa.String(26).with_variant(sa.String(26, collation="C"), "postgresql")
instant = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "teams",
        sa.Column("name", sa.Text, nullable=False),
        *_allowances(),
        sa.Column("created_at", instant, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_teams"),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", run_id, nullable=False),
        sa.Column("prefix", sa.Text, nullable=False),
        sa.Column("secret_sha256", sa.String(64), nullable=False),
        sa.Column("previous_sha256", sa.String(64)),
        sa.Column("previous_until", instant),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("team", sa.Text),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("models", sa.JSON),
        *_allowances(),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("created_at", instant, nullable=False),
        sa.Column("expires_at", instant),
        sa.Column("revoked_at", instant),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.ForeignKeyConstraint(["team"], ["teams.name"], name="fk_api_keys_team"),
    )
    op.create_index("ix_api_keys_secret_sha256", "api_keys", ["secret_sha256"], unique=True)
    op.create_table(
        "versions",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_versions"),
    )
    op.create_table(
        "usage",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("team", sa.Text),
        sa.Column("api", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("replica", sa.Text),
        sa.Column("prompt_tokens", sa.BigInteger, nullable=False),
        sa.Column("completion_tokens", sa.BigInteger, nullable=False),
        sa.Column("cached_tokens", sa.BigInteger, nullable=False),
        sa.Column("tokens_estimated", sa.Boolean, nullable=False),
        sa.Column("nano_usd", sa.BigInteger, nullable=False),
        sa.Column("micro_krw", sa.BigInteger, nullable=False),
        sa.Column("saved_micro_krw", sa.BigInteger, nullable=False),
        sa.Column("queue_s", sa.Double),
        sa.Column("prefill_s", sa.Double),
        sa.Column("decode_s", sa.Double),
        sa.Column("ttft_s", sa.Double),
        sa.Column("e2e_s", sa.Double, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("finish_reason", sa.Text),
        sa.Column("cache", sa.Text),
        sa.Column("guard", sa.Text),
        sa.Column("retries", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_usage"),
    )
    op.create_index("ix_usage_day_key_id", "usage", ["day", "key_id"])
    op.create_index("ix_usage_key_id_at", "usage", ["key_id", "at"])
    op.create_table(
        "usage_days",
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("team", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.Column("errors", sa.BigInteger, nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger, nullable=False),
        sa.Column("completion_tokens", sa.BigInteger, nullable=False),
        sa.Column("cached_tokens", sa.BigInteger, nullable=False),
        sa.Column("nano_usd", sa.BigInteger, nullable=False),
        sa.Column("micro_krw", sa.BigInteger, nullable=False),
        sa.Column("saved_micro_krw", sa.BigInteger, nullable=False),
        sa.Column("cache_hits", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("day", "key_id", "team", "model", name="pk_usage_days"),
    )


def downgrade() -> None:
    for table in ("usage_days", "usage", "versions", "api_keys", "teams"):
        op.drop_table(table)


def _allowances() -> tuple[sa.Column[int], ...]:
    return (
        sa.Column("requests_per_minute", sa.Integer),
        sa.Column("tokens_per_minute", sa.BigInteger),
        sa.Column("max_concurrent", sa.Integer),
        sa.Column("tokens_per_day", sa.BigInteger),
        sa.Column("tokens_per_month", sa.BigInteger),
        sa.Column("micro_krw_per_day", sa.BigInteger),
        sa.Column("micro_krw_per_month", sa.BigInteger),
    )
