"""The steps, oldest first by their number; a released step is never changed."""
