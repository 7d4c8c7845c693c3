"""The key that configs are signed with, and who gives signatures back."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what is new; nothing that is there changes."""
    op.add_column("keeper", sa.Column("signing_key", sa.String(64)))
    op.execute(
        sa.update(sa.table("keeper", sa.column("signing_key"))).values(
            signing_key=secrets.token_hex(32)
        )
    )
    op.add_column("ack", sa.Column("signed", sa.Boolean))
