"""The box is read from the files Linux tells it in; here from a tree made for it (no hardware)."""

from pathlib import Path

from fleet.agent.box import machine


def put(root: Path, path: str, text: str = "") -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def card(root: Path, name: str, mac: str, index: int, *, real: bool) -> None:
    put(root, f"sys/class/net/{name}/address", mac + "\n")
    put(root, f"sys/class/net/{name}/ifindex", f"{index}\n")
    if real:
        (root / f"sys/class/net/{name}/device").mkdir()


def test_id_comes_from_the_first_real_card(tmp_path: Path) -> None:
    card(tmp_path, "lo", "00:00:00:00:00:00", 1, real=False)
    card(tmp_path, "docker0", "02:42:AC:11:00:02", 2, real=False)
    card(tmp_path, "wlan0", "b8:27:eb:00:00:b2", 4, real=True)
    card(tmp_path, "eth0", "B8:27:EB:00:00:A1", 3, real=True)
    assert machine.mac(tmp_path) == "b827eb0000a1"


def test_virtual_card_is_better_than_none(tmp_path: Path) -> None:
    assert machine.mac(tmp_path) is None
    card(tmp_path, "tun0", "", 2, real=False)
    card(tmp_path, "dummy0", "00:00:00:00:00:00", 3, real=False)
    assert machine.mac(tmp_path) is None
    card(tmp_path, "eth0", "02:42:ac:11:00:02", 9, real=False)
    assert machine.mac(tmp_path) == "0242ac110002"


def test_addresses_leave_out_what_nobody_else_can_reach() -> None:
    assert not any(one.startswith(("127.", "fe80:")) for one in machine.addresses())
