"""Child processes: started, taken over, read, ended."""
