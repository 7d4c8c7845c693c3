"""What was recorded on this station: an index of its closed segments, each read back."""
