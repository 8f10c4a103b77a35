"""The agent's conversations, steps, tool calls and facts."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

run_id = sa.String(26).with_variant(sa.String(26, collation="C"), "postgresql")
instant = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "conversations",
        sa.Column("id", run_id, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("config", sa.JSON, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("person", sa.Text, nullable=False),
        sa.Column("created_at", instant, nullable=False),
        sa.Column("updated_at", instant, nullable=False),
        sa.Column("parent_id", run_id),
        sa.Column("parent_step", sa.Integer),
        sa.Column("fence", sa.BigInteger, nullable=False),
        sa.Column("owner_host", sa.Text),
        sa.Column("owner_pid", sa.Integer),
        sa.Column("owner_started", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_conversations"),
    )
    op.create_index("ix_conversations_person", "conversations", ["person"])
    op.create_table(
        "conversation_steps",
        sa.Column("conversation_id", run_id, nullable=False),
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("at", instant, nullable=False),
        sa.Column("duration_s", sa.Double, nullable=False),
        sa.Column("tokens", sa.Integer, nullable=False),
        sa.Column("usage", sa.JSON, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("conversation_id", "number", name="pk_conversation_steps"),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversations.id"],
            name="fk_conversation_steps_conversation_id",
            ondelete="CASCADE",
        ),
    )
    op.create_table(
        "conversation_calls",
        sa.Column("conversation_id", run_id, nullable=False),
        sa.Column("step", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("index", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("written", sa.Text, nullable=False),
        sa.Column("arguments", sa.JSON, nullable=False),
        sa.Column("form", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("repaired", sa.JSON, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
        sa.Column("tainted", sa.Boolean, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("at", instant),
        sa.Column("duration_s", sa.Double, nullable=False),
        sa.Column("tokens", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("conversation_id", "step", "index", name="pk_conversation_calls"),
        sa.ForeignKeyConstraint(
            ["conversation_id", "step"],
            ["conversation_steps.conversation_id", "conversation_steps.number"],
            name="fk_conversation_calls_conversation_id",
            ondelete="CASCADE",
        ),
    )
    op.create_table(
        "facts",
        sa.Column("id", run_id, nullable=False),
        sa.Column("person", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("created_at", instant, nullable=False),
        sa.Column("conversation_id", run_id),
        sa.PrimaryKeyConstraint("id", name="pk_facts"),
    )
    op.create_index("ix_facts_person", "facts", ["person"])


def downgrade() -> None:
    for table in ("facts", "conversation_calls", "conversation_steps", "conversations"):
        op.drop_table(table)
