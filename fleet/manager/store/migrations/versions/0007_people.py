"""Who may do what, who is signed in on the page, and what people did that nothing else tells of."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what is new; nothing that is there changes."""
    op.create_table(
        "person",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("rights", sa.Text, nullable=False),
        sa.Column("password", sa.Text),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("by", sa.String(64), nullable=False),
    )
    op.create_table(
        "sign_in",
        sa.Column("token", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("until", sa.String(32), nullable=False),
    )
    op.create_table(
        "deed",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("by", sa.String(64), nullable=False),
        sa.Column("station", sa.String(64), index=True),
        sa.Column("text", sa.Text, nullable=False),
    )
