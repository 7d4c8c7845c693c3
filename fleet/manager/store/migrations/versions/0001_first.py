"""The first shape: revisions, what is wanted, conference files, acks, presence."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create every table."""
    op.create_table(
        "conference",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("by", sa.String(64), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("message", sa.Text),
        sa.Column("text", sa.Text, nullable=False),
    )
    op.create_table(
        "revision",
        sa.Column("station", sa.String(64), primary_key=True),
        sa.Column("revision", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("by", sa.String(64), nullable=False),
        sa.Column("message", sa.Text),
        sa.Column("conference", sa.Integer, sa.ForeignKey("conference.number")),
        sa.Column("config", sa.Text, nullable=False),
    )
    op.create_table(
        "station",
        sa.Column("station", sa.String(64), primary_key=True),
        sa.Column("wanted", sa.BigInteger),
        sa.Column("name", sa.String(64)),
        sa.Column("room", sa.String(64)),
        sa.Column("seat", sa.String(64)),
        sa.Column("where", sa.Text),
        sa.Column("address", sa.Text),
        sa.Column("retired", sa.Boolean, nullable=False),
    )
    op.create_table(
        "ack",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("station", sa.String(64), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("revision", sa.BigInteger),
        sa.Column("in_force", sa.BigInteger, nullable=False),
        sa.Column("result", sa.String(16)),
        sa.Column("error", sa.Text),
    )
    op.create_index("ack_station", "ack", ["station", "number"])
    op.create_index("ack_at", "ack", ["at"])
    op.create_table(
        "presence",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("station", sa.String(64), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("boot", sa.String(64)),
    )
    op.create_index("presence_station", "presence", ["station", "number"])
    op.create_index("presence_at", "presence", ["at"])


def downgrade() -> None:
    """Drop every table."""
    for table in ("presence", "ack", "station", "revision", "conference"):
        op.drop_table(table)
