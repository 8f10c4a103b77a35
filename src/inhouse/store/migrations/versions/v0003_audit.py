"""The audit log's events and signed head, and kept prompts and answers."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

instant = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "audit_events",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False, autoincrement=False),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("details", sa.Text, nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_audit_events"),
    )
    op.create_index("ix_audit_events_action", "audit_events", ["action"])
    op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("key_id", sa.String(16), nullable=False),
        sa.Column("signature", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_head"),
    )
    op.create_table(
        "bodies",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("at", instant, nullable=False),
        sa.Column("expires_at", instant, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("person", sa.String(64)),
        sa.Column("nonce", sa.LargeBinary, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_bodies"),
    )
    for column in ("expires_at", "key_id", "person"):
        op.create_index(f"ix_bodies_{column}", "bodies", [column])


def downgrade() -> None:
    for table in ("bodies", "audit_head", "audit_events"):
        op.drop_table(table)
