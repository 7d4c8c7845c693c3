"""What is wanted, from the conference file."""
