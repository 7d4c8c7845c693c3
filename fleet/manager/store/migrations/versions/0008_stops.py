"""What people stopped by hand."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what is new; nothing that is there changes."""
    op.create_table(
        "stop",
        sa.Column("station", sa.String(64), primary_key=True),
        sa.Column("role", sa.String(64), primary_key=True),
        sa.Column("instance", sa.String(64), primary_key=True),
        sa.Column("by", sa.String(64), nullable=False),
        sa.Column("why", sa.Text),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("until", sa.String(32)),
    )
