"""What the tests of the connection share."""

from __future__ import annotations

import pytest

from firezone.signaling import backoff


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everything that takes seconds take less; how often is what counts."""
    monkeypatch.setattr(backoff, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(backoff, "FIRST_BUDGET", 0.1)
    monkeypatch.setattr(backoff, "INITIAL", 0.01)
    for name in ("http_proxy", "https_proxy", "all_proxy", "ws_proxy", "wss_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
