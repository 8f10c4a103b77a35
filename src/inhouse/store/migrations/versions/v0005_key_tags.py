"""The access tags of a key: which documents its owner may see beyond those that are open to all."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("tags", sa.JSON))


def downgrade() -> None:
    op.drop_column("api_keys", "tags")
