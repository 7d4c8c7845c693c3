"""Who is let in: the broker's accounts, and how a new box gets one."""
