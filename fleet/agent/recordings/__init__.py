"""What was recorded on this station: an index of its closed segments, each read back.

`keeper` finds what was closed and tells of it, `index` keeps it, `probing` says what a file's
packets tell, `ends` why it ended, and `reading_back` decodes it.
"""
