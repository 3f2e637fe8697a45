"""Loads the plugin `icgd.verify.plugin`, with its options, fixtures and tables, for `pytest verify/`."""

from __future__ import annotations

import pytest

from icgd.verify import plugin


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    """Load the plugin unless -p did; pytest forbids `pytest_plugins` in a conftest below the root."""
    if not pluginmanager.hasplugin(plugin.__name__):
        pluginmanager.register(plugin, plugin.__name__)
