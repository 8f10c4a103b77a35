"""The gateway's pages: sessions, the traffic's history, alerts."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

run_id = sa.String(26).with_variant(sa.String(26, collation="C"), "postgresql")
instant = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "web_sessions",
        sa.Column("id_sha256", sa.String(64), nullable=False),
        sa.Column("secret_sha256", sa.String(64), nullable=False),
        sa.Column("created_at", instant, nullable=False),
        sa.Column("expires_at", instant, nullable=False),
        sa.PrimaryKeyConstraint("id_sha256", name="pk_web_sessions"),
    )
    op.create_index("ix_web_sessions_expires_at", "web_sessions", ["expires_at"])
    op.create_table(
        "traffic",
        sa.Column("step_s", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("at", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("sums", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("step_s", "at", "subject", name="pk_traffic"),
    )
    op.create_table(
        "alerts",
        sa.Column("id", run_id, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("is_open", sa.Integer),
        sa.Column("since", instant, nullable=False),
        sa.Column("until", instant),
        sa.Column("value", sa.Double, nullable=False),
        sa.Column("threshold", sa.Double, nullable=False),
        sa.Column("told", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_alerts"),
    )
    op.create_index("ix_alerts_rule_subject_is_open", "alerts", ["rule", "subject", "is_open"], unique=True)


def downgrade() -> None:
    for table in ("alerts", "traffic", "web_sessions"):
        op.drop_table(table)
