"""What runs on this station: compared with what is wanted, started, watched, ended."""
