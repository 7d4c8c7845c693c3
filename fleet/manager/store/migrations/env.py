"""Alembic's way in: runs the steps on the connection that `store` hands over."""

from alembic import context


def run() -> None:
    """Run the missing steps, all or none."""
    context.configure(connection=context.config.attributes["connection"])
    with context.begin_transaction():
        context.run_migrations()


if __name__ == "env_py":  # the name under which Alembic loads this file
    run()
