"""What the manager serves over HTTP."""
