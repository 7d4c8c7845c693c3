"""What is wanted of this station: received, decided, saved."""
