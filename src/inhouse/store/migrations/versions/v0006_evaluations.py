"""Evaluations: answers with what was asked, their scores, and people's labels."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

run_id = sa.String(26).with_variant(sa.String(26, collation="C"), "postgresql")
row_id = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "eval_answers",
        sa.Column("id", row_id, nullable=False),
        sa.Column("run_id", run_id, nullable=False),
        sa.Column("suite", sa.Text, nullable=False),
        sa.Column("item", sa.Text, nullable=False),
        sa.Column("prompt", sa.Text, nullable=False),
        sa.Column("repeat", sa.Integer, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("question", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("response", sa.JSON, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("prompt_tokens", sa.Integer),
        sa.Column("completion_tokens", sa.Integer),
        sa.Column("duration_s", sa.Double, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("cached_from", run_id),
        sa.PrimaryKeyConstraint("id", name="pk_eval_answers"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_eval_answers_run_id", ondelete="CASCADE"),
        sa.UniqueConstraint("run_id", "suite", "item", "prompt", "repeat", name="uq_eval_answers"),
    )
    op.create_index("ix_eval_answers_digest", "eval_answers", ["digest"])
    for table, columns, unique in (
        (
            "eval_scores",
            (
                sa.Column("scorer", sa.Text, nullable=False),
                sa.Column("value", sa.Double),
                sa.Column("answer", sa.Text, nullable=False),
                sa.Column("detail", sa.JSON, nullable=False),
            ),
            "scorer",
        ),
        (
            "eval_labels",
            (
                sa.Column("person", sa.Text, nullable=False),
                sa.Column("value", sa.Double, nullable=False),
                sa.Column("note", sa.Text, nullable=False),
                sa.Column("at", sa.DateTime(timezone=True), nullable=False),
            ),
            "person",
        ),
    ):
        op.create_table(
            table,
            sa.Column("id", row_id, nullable=False),
            sa.Column("answer_id", row_id, nullable=False),
            *columns,
            sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
            sa.ForeignKeyConstraint(
                ["answer_id"], ["eval_answers.id"], name=f"fk_{table}_answer_id", ondelete="CASCADE"
            ),
            sa.UniqueConstraint("answer_id", unique, name=f"uq_{table}"),
        )


def downgrade() -> None:
    for table in ("eval_labels", "eval_scores", "eval_answers"):
        op.drop_table(table)
