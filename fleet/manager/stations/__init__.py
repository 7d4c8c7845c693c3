"""What was heard of the stations."""
