"""Programs that roles run as children and that are no part of the agent.

They are run by the system's Python, because that is the one which has GStreamer's bindings, and
so import each other and nothing else of ours.
"""
