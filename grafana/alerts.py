"""The table of alerts that every board has."""

from grafana_foundation_sdk.builders import table

from grafana.parts import TO_ROOM, TO_STATION, Column, rows

_TITLES = {"critical": "Go there", "warning": "Look when there is time"}
_NOTHING = {"critical": "nobody is needed", "warning": "nothing to see"}


def alerts(severity: str, matcher: str) -> table.Panel:
    """What fires now, of a `severity`, about what `matcher` says; a pager hears the critical."""
    which = f'ALERTS{{alertstate="firing", severity="{severity}", {matcher}}}'
    shown = ["name", "where", "alertname", "room", "role", "role_instance", "station"]
    return rows(
        _TITLES[severity],
        "Alerts that fire, with the box to walk to. What each means and how to fix it is in "
        "docs/runbook.md.",
        {"firing": f"max by ({', '.join(shown)}) ({which})"},
        {
            "name": Column(link=TO_STATION),
            "room": Column(link=TO_ROOM, width=80),
            "role": Column(width=80),
            "role_instance": Column(width=115),
            "station": Column(hidden=True),
        },
        hide=["firing"],
        order=shown,
        nothing=_NOTHING[severity],
    )
