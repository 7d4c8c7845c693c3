"""What pytest leaves alone here."""

collect_ignore = ["plugs.py"]  # run by the system's Python, which has GObject
