"""For whoever stands at the box: the agent's socket, and what is shown."""
