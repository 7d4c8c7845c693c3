"""The operator's command `fleet`, a file a command."""
