"""The traffic's history by the process that wrote it, so that none has to add to another's; alerts to be told again.

Nothing wrote either table before this version.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

run_id = sa.String(26).with_variant(sa.String(26, collation="C"), "postgresql")
instant = sa.DateTime(timezone=True)


def upgrade() -> None:
    _drop()
    op.create_table(
        "traffic",
        sa.Column("step_s", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("writer", sa.Text, nullable=False),
        sa.Column("sums", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("step_s", "subject", "at", "writer", name="pk_traffic"),
    )
    op.create_index("ix_traffic_step_s_at", "traffic", ["step_s", "at"])
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
        sa.Column("tell_at", instant),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("problem", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_alerts"),
    )
    op.create_index("ix_alerts_rule_subject_is_open", "alerts", ["rule", "subject", "is_open"], unique=True)
    op.create_index("ix_alerts_since", "alerts", ["since"])


def downgrade() -> None:
    _drop()
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


def _drop() -> None:
    for table in ("alerts", "traffic"):
        op.drop_table(table)
