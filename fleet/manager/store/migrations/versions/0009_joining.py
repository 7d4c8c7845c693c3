"""Tokens to join with, and until when stations are let in."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what is new; nothing that is there changes."""
    op.create_table(
        "token",
        sa.Column("token", sa.String(16), primary_key=True),
        sa.Column("until", sa.String(32), nullable=False),
        sa.Column("uses", sa.Integer),
        sa.Column("used", sa.Integer, nullable=False),
        sa.Column("room", sa.String(64)),
        sa.Column("approve", sa.Boolean, nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("by", sa.String(64), nullable=False),
    )
    op.create_table(
        "credential",
        sa.Column("station", sa.String(64), primary_key=True),
        sa.Column("public_key", sa.String(100), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("ends", sa.String(32), nullable=False),
        sa.Column("token", sa.String(16)),
    )
