"""Runs, samples, metrics, series, findings."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

run_id = sa.String(26).with_variant(sa.String(26, collation="C"), "postgresql")
row_id = sa.BigInteger().with_variant(sa.Integer, "sqlite")
instant = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "runs",
        sa.Column("id", run_id, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("config", sa.JSON, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("environment", sa.JSON, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("created_at", instant, nullable=False),
        sa.Column("ended_at", instant),
        sa.Column("model", sa.Text),
        sa.Column("engine", sa.Text),
        sa.Column("error", sa.Text),
        sa.Column("study_id", run_id),
        sa.Column("progress", sa.JSON, nullable=False),
        sa.Column("owner_host", sa.Text),
        sa.Column("owner_pid", sa.Integer),
        sa.Column("owner_started", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
        sa.ForeignKeyConstraint(["study_id"], ["runs.id"], name="fk_runs_study_id", ondelete="CASCADE"),
    )
    op.create_index("ix_runs_study_id", "runs", ["study_id"])
    op.create_index("ix_runs_status", "runs", ["status"])
    op.create_table(
        "samples",
        sa.Column("id", row_id, nullable=False),
        sa.Column("run_id", run_id, nullable=False),
        sa.Column("stage", sa.Text),
        sa.Column("index", sa.Integer, nullable=False),
        sa.Column("intended_start_s", sa.Double, nullable=False),
        sa.Column("start_s", sa.Double, nullable=False),
        sa.Column("end_s", sa.Double, nullable=False),
        sa.Column("first_token_s", sa.Double),
        sa.Column("token_times_s", sa.LargeBinary),
        sa.Column("prompt_tokens", sa.Integer),
        sa.Column("completion_tokens", sa.Integer),
        sa.Column("cached_tokens", sa.Integer),
        sa.Column("finish_reason", sa.Text),
        sa.Column("error_kind", sa.Text),
        sa.Column("error_message", sa.Text),
        sa.Column("tags", sa.JSON, nullable=False),
        sa.Column("engine_timings", sa.JSON, nullable=False),
        sa.Column("prompt", sa.Text),
        sa.Column("answer", sa.Text),
        *_part_of_run("samples"),
    )
    op.create_index("ix_samples_run_id_stage", "samples", ["run_id", "stage"])
    op.create_table(
        "metrics",
        sa.Column("id", row_id, nullable=False),
        sa.Column("run_id", run_id, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("value", sa.Double, nullable=False),
        sa.Column("unit", sa.Text, nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("low", sa.Double),
        sa.Column("high", sa.Double),
        sa.Column("n", sa.Integer),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("predicted", sa.Boolean, nullable=False),
        *_part_of_run("metrics"),
    )
    op.create_index("ix_metrics_run_id", "metrics", ["run_id"])
    op.create_table(
        "series",
        sa.Column("id", row_id, nullable=False),
        sa.Column("run_id", run_id, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("unit", sa.Text, nullable=False),
        sa.Column("times_s", sa.LargeBinary),
        sa.Column("values", sa.LargeBinary),
        sa.Column("labels", sa.JSON, nullable=False),
        *_part_of_run("series"),
    )
    op.create_index("ix_series_run_id", "series", ["run_id"])
    op.create_table(
        "findings",
        sa.Column("id", row_id, nullable=False),
        sa.Column("study_id", run_id, nullable=False),
        sa.Column("phase", sa.Integer, nullable=False),
        sa.Column("side", sa.Text, nullable=False),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("figures", sa.JSON, nullable=False),
        sa.Column("evidence", sa.JSON, nullable=False),
        *_part_of_run("findings", "study_id"),
    )
    op.create_index("ix_findings_study_id_phase", "findings", ["study_id", "phase"])


def downgrade() -> None:
    for table in ("findings", "series", "metrics", "samples", "runs"):
        op.drop_table(table)


def _part_of_run(table: str, column: str = "run_id") -> tuple[sa.Constraint, sa.Constraint]:
    return (
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
        sa.ForeignKeyConstraint([column], ["runs.id"], name=f"fk_{table}_{column}", ondelete="CASCADE"),
    )
