"""The commands of `fleet`, a file each."""
