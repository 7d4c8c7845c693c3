"""The one service that knows what is wanted. Read `session`, then `conference` and `inventory`."""
