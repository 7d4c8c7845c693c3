"""What the boxes have to say where a chapter fails."""

from collections.abc import Iterator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if report.failed:  # type: ignore[attr-defined]
        for box in getattr(item, "funcargs", {}).get("boxes", {}).values():
            report.sections.append((f"journal of {box.name}", box.journal()))  # type: ignore[attr-defined]
    return report
