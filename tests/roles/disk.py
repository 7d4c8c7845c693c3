"""A real file system that can be filled, and made read-only, without being root."""

import subprocess
from pathlib import Path


class Disk:
    """A tmpfs in a mount namespace of its own, seen from outside through /proc."""

    def __init__(self, size: str) -> None:
        self._holder = subprocess.Popen(
            ["unshare", "--map-root-user", "--mount", "sh"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.path = Path(f"/proc/{self._holder.pid}/root/mnt")
        self.run(f"mount -t tmpfs -o size={size} none /mnt")

    @property
    def shell(self) -> str:
        """What runs $SSH_ORIGINAL_COMMAND where the disk is /mnt."""
        within = f"nsenter -t {self._holder.pid} -U -m --preserve-credentials"
        return f'{within} sh -c "$SSH_ORIGINAL_COMMAND"'

    def run(self, command: str) -> None:
        """Run a shell command where the disk is /mnt."""
        assert self._holder.stdin is not None
        assert self._holder.stdout is not None
        self._holder.stdin.write(f"{command} && echo done || echo failed\n")
        self._holder.stdin.flush()
        said = self._holder.stdout.readline()
        assert said == "done\n", f"{command}: {said!r}; user namespaces must be allowed here"

    def close(self) -> None:
        assert self._holder.stdin is not None
        assert self._holder.stdout is not None
        self._holder.stdin.close()
        self._holder.wait(60)
        self._holder.stdout.close()
