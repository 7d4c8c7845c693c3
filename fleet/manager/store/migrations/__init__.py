"""How the store came to its present shape, a step a file in `versions`; run by Alembic."""
