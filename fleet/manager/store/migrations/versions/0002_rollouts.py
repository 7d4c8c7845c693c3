"""Rollouts with their targets, boxes being replaced, what is said of rooms and stations."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what is new; nothing that is there changes."""
    op.add_column("station", sa.Column("replaced_by", sa.String(64)))
    op.create_table(
        "rollout",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("by", sa.String(64), nullable=False),
        sa.Column("file", sa.Text),
        sa.Column("message", sa.Text),
        sa.Column("batch", sa.Integer),
        sa.Column("settle", sa.Float, nullable=False),
        sa.Column("undo", sa.Boolean, nullable=False),
        sa.Column("phase", sa.String(16), nullable=False),
        sa.Column("why", sa.Text),
    )
    op.create_table(
        "target",
        sa.Column(
            "rollout",
            sa.Integer,
            sa.ForeignKey("rollout.number"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("station", sa.String(64), primary_key=True),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("facts_before", sa.Text, nullable=False),
        sa.Column("roles", sa.Text),  # none once the revision has them
        sa.Column("before", sa.BigInteger),
        sa.Column("replaces", sa.String(64)),
        sa.Column("replaced", sa.BigInteger),
        sa.Column("revision", sa.BigInteger),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("why", sa.Text),
    )
    op.create_index("target_station", "target", ["station", "rollout"])
    op.create_table(
        "said",
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("by", sa.String(64), nullable=False),
        sa.Column("since", sa.String(32), nullable=False),
        sa.Column("until", sa.String(32)),
    )


def downgrade() -> None:
    """Drop what was added."""
    for table in ("said", "target", "rollout"):
        op.drop_table(table)
    op.drop_column("station", "replaced_by")
