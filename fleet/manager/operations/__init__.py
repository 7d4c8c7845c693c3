"""What the manager does when it is asked, a file a subject; `requests` calls them by name."""
