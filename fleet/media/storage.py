"""Where copies go: a directory on this station, or one at a host that rsync reaches by ssh.

What a conference file says of a host never stands on a command line. It is in a configuration of
ssh's own, beside the key and the one host key that is taken; nobody else's is read.
"""

import base64
import binascii
import os
import re
import shutil
from pathlib import Path
from typing import Annotated, Final, Literal

from attrs import frozen
from msgspec import Meta

from fleet import kept
from fleet.bound import SendsSecrets
from fleet.host import Failed, Secret
from fleet.model import plain

_ALIAS: Final = "fleet-target"
"""What ssh calls the host, whatever its address is."""
_PATIENCE_SECONDS: Final = 10
_KEY_TYPES: Final = (
    r"ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)|sk-ssh-ed25519@openssh\.com"
    r"|sk-ecdsa-sha2-nistp256@openssh\.com"
)

StoragePath = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=1024,
        pattern=r"^/[^\x00-\x1f\x7f*?\[\]\\]*$",
        title='an absolute path without wildcards such as "/srv/fleet"',
        description="the directory that has one for each room; it must be there",
    ),
]


def _host_key(text: str) -> None:
    kind, _, rest = text.partition(" ")
    try:
        blob = base64.b64decode(rest.partition(" ")[0], validate=True)
    except (binascii.Error, ValueError):
        blob = b""
    name = kind.encode()
    if not blob.startswith(len(name).to_bytes(4, "big") + name) or len(blob) < len(name) + 36:
        raise ValueError(
            "expected the whole public key of the host, as in its "
            "/etc/ssh/ssh_host_ed25519_key.pub, got one that is cut or changed"
        )


@frozen
class SshStorage(SendsSecrets):
    """A directory at a host where `user` may run rsync."""

    type: Literal["ssh"]
    host: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9_:][A-Za-z0-9_.:-]{0,252}$",
            title='a name or address such as "storage.example.org"',
            description="name or address of the host",
        ),
    ]
    user: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,63}$",
            title='a user such as "fleet"',
            description="who may write at the host",
        ),
    ]
    path: StoragePath
    key: Annotated[Secret, Meta(description="the private key, without a passphrase")]
    host_key: Annotated[
        str,
        Meta(
            max_length=4096,
            pattern=rf"^(?:{_KEY_TYPES}) [A-Za-z0-9+/]+=*(?: [ -~]*)?$",
            title='a public key such as "ssh-ed25519 AAAA…"',
            description="the only one that is taken of the host: its ssh_host_ed25519_key.pub",
        ),
        _host_key,
    ]
    port: Annotated[int, Meta(ge=1, le=65535, description="where its sshd listens (TCP)")] = 22

    def __str__(self) -> str:
        return f"{self.user}@{self.host}:{self.path}"

    @property
    def secrets_to(self) -> str | None:
        """Where they go."""
        return self.host

    @property
    def place(self) -> str:
        """As rsync is told it."""
        return f"{_ALIAS}:{self.path.rstrip('/')}"

    def prepare(self, directory: Path, key: str) -> list[str]:
        """Write what ssh needs into `directory`; how rsync is told to use it.

        Raises:
            Failed: it cannot be written, or `key` is no private key.
        """
        check_private_key(self.key.secret, key)
        kind, text = self.host_key.split(" ")[:2]
        files = {
            "known_hosts": f"{_ALIAS} {kind} {text}\n",
            "key": key.replace("\r\n", "\n").strip() + "\n",
            "config": self._config(directory),
        }
        try:
            for name, content in files.items():
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
                number = os.open(directory / name, flags, 0o600)
                with os.fdopen(number, "w", encoding="utf-8") as file:
                    file.write(content)
        except OSError as error:
            raise Failed(
                "NotWritable", f"{directory} cannot be written to: {plain(error)}"
            ) from None
        config = str(directory / "config").replace("'", "''")
        return [f"--rsh=ssh -F '{config}'"]

    def _config(self, directory: Path) -> str:
        def quoted(path: Path) -> str:
            text = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
            return f'"{text}"'

        return f"""\
HostName {self.host}
Port {self.port}
User {self.user}
HostKeyAlias {_ALIAS}
UserKnownHostsFile {quoted(directory / "known_hosts")}
GlobalKnownHostsFile none
StrictHostKeyChecking yes
CheckHostIP no
UpdateHostKeys no
IdentityFile {quoted(directory / "key")}
IdentitiesOnly yes
IdentityAgent none
PreferredAuthentications publickey
BatchMode yes
ConnectTimeout {_PATIENCE_SECONDS}
ServerAliveInterval {_PATIENCE_SECONDS}
ServerAliveCountMax 3
ForwardAgent no
ForwardX11 no
ControlPath none
EscapeChar none
RequestTTY no
LogLevel ERROR
"""


@frozen
class PathStorage:
    """A directory of this station, such as a disk that is mounted there."""

    type: Literal["path"]
    path: StoragePath

    def __str__(self) -> str:
        return self.path

    @property
    def place(self) -> str:
        """As rsync is told it."""
        return self.path.rstrip("/")


Storage = SshStorage | PathStorage


def check_private_key(name: str, text: str) -> None:
    """Check that a secret can be a private key that needs no passphrase.

    Raises:
        Failed: `SecretUnsuitable`, it cannot.
    """
    advice = (
        "make one with ssh-keygen -t ed25519 -N '' -f FILE, put FILE on this station and FILE.pub "
        "into the target's authorized_keys"
    )
    body = re.fullmatch(
        r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----\s(.*)-----END \1-----", text.strip(), re.DOTALL
    )
    if body is None:
        raise Failed("SecretUnsuitable", f"the secret {name!r} is not a private key: {advice}")
    encrypted = "ENCRYPTED" in text
    if body[1] == "OPENSSH PRIVATE KEY":
        try:
            blob = base64.b64decode(body[2])
        except (binascii.Error, ValueError):
            blob = b""
        magic, none = b"openssh-key-v1\0", b"\0\0\0\4none"
        if not blob.startswith(magic):
            raise Failed("SecretUnsuitable", f"the secret {name!r} is damaged: {advice}")
        encrypted = not blob[len(magic) :].startswith(none)
    if encrypted:
        raise Failed("SecretUnsuitable", f"the secret {name!r} has a passphrase: {advice}")


def clear(directory: Path) -> None:
    """Have a directory, of ours alone, with nothing in it.

    Raises:
        Failed: it cannot be had.
    """
    try:
        if os.path.lexists(directory):
            kept.remove(directory)
        kept.make_directory(directory, 0o700)
    except OSError as error:
        raise Failed("NotWritable", f"{directory} cannot be made: {plain(error)}") from None


def forget(directory: Path) -> None:
    """Have nothing there any more, above all no key."""
    shutil.rmtree(directory, ignore_errors=True)
