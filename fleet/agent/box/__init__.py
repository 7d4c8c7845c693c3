"""What this box is and measures."""
