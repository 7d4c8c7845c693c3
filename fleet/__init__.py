"""Fleet runs the recording and streaming boxes of a conference."""
