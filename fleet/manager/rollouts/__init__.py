"""How what is wanted reaches the stations."""
