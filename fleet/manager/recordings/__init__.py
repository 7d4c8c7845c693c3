"""What stations recorded of which talk, and whether that is all of it and plays."""
