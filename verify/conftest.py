"""`pytest verify/`: the auditor's entry.  Options, fixtures and tables are icgd.verify.plugin's."""

from __future__ import annotations

import pytest

from icgd.verify import plugin


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    """Load the plugin unless -p did: here, since `pytest_plugins` is refused in a conftest found late."""
    if not pluginmanager.hasplugin(plugin.__name__):
        pluginmanager.register(plugin, plugin.__name__)
