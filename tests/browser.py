"""Chromium, Debian's, as a person has it: a window for each person, with its own cookies."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from localcluster.host import apt_install

CHROMIUM = Path("/usr/bin/chromium")
SECONDS = 120
"""Generous, since the machine may be busy."""


@contextmanager
def chromium(hosts: Mapping[str, str]) -> Iterator[Browser]:
    """A browser to which host names have the addresses, or addresses and ports, that are given."""
    if not CHROMIUM.exists():
        apt_install("chromium", "fonts-dejavu-core")
    rules = ",".join(f"MAP {name} {address}" for name, address in hosts.items())
    arguments = [f"--host-resolver-rules={rules}", "--no-proxy-server"]
    expect.set_options(timeout=SECONDS * 1000)
    with sync_playwright() as playwright:
        # Chromium's sandbox refuses root.
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=arguments, chromium_sandbox=os.geteuid() != 0)


@contextmanager
def window(browser: Browser) -> Iterator[Page]:
    """A window without a past. The provider's certificate is a test's own, which no browser knows."""
    context = browser.new_context(ignore_https_errors=True, viewport={"width": 1280, "height": 800})
    context.set_default_timeout(SECONDS * 1000)
    try:
        yield context.new_page()
    finally:
        context.close()
