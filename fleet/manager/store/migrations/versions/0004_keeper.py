"""When the store was last in use, and how often it was written: what tells an old copy."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what is new; nothing that is there changes."""
    keeper = op.create_table(
        "keeper",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("written", sa.BigInteger, nullable=False),
        sa.Column("alive", sa.String(32)),
    )
    op.bulk_insert(keeper, [{"number": 1, "written": 0, "alive": None}])
