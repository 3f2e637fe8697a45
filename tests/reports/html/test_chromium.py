"""The HTML report in a real browser, Chromium, driven by its protocol over two pipes."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from icgd.reports.figures.figures import Drawn
from icgd.reports.html.page import page

DATA = Path(__file__).parents[1] / "data"
DOCUMENT: dict[str, Any] = json.loads((DATA / "document_html.json").read_text(encoding="utf-8"))
FIGURES = [
    Drawn(
        theorem, f"drawing-{index}", f"Drawing {index}", "A line.", Path("none.pdf"), DATA / "figure_html.svg"
    )
    for index, theorem in enumerate(DOCUMENT["theorems"])
]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.needs("chromium")

# fmt: off
_FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
]
# fmt: on
_LIMIT = 300.0
"""Seconds after which a browser that does not answer hangs."""


class Browser:
    """One page of one headless Chromium.  problems: what its console and its network complained about."""

    def __init__(self, profile: Path) -> None:
        # The protocol's pipes are the file descriptors 3 and 4 of the browser.
        wired = ["/bin/sh", "-c", 'exec "$@" 3<&0 4>&1 1>&2', "sh", str(CHROMIUM), *_FLAGS]
        self._process = subprocess.Popen(
            [*wired, f"--user-data-dir={profile}", "about:blank"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._count = 0
        self._session: str | None = None
        self._rest = b""
        self._loaded = 0
        self.problems: list[str] = []
        self.requests: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer to one command of the protocol."""
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        assert self._process.stdin
        self._process.stdin.write(json.dumps(message).encode() + b"\0")
        self._process.stdin.flush()
        while True:
            answer = self._next()
            if answer.get("id") == self._count:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]

    def open(self, path: Path) -> None:
        """Load a file and wait until it is there."""
        before = self._loaded
        self.call("Page.navigate", url=path.as_uri())
        while self._loaded == before:
            self._next()

    def __call__(self, script: str) -> Any:
        """The value of an expression in the page."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def show(self, width: int, height: int, *, scheme: str = "light") -> None:
        """A screen of that size, a phone where it is narrow, in a colour scheme."""
        mobile = width < 600
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=mobile,
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def key(self, name: str, text: str = "") -> None:
        """A key, pressed and let go."""
        for kind in ("keyDown", "keyUp"):
            given = {"text": text} if text and kind == "keyDown" else {}
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=name, windowsVirtualKeyCode=13, code=name, **given
            )

    def _next(self) -> dict[str, Any]:
        """The next message; what happened in the page is taken note of."""
        assert self._process.stdout
        ends = time.monotonic() + _LIMIT
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._process.stdout], [], [], max(0, ends - time.monotonic()))
            piece = os.read(self._process.stdout.fileno(), 1 << 20) if ready else b""
            if not piece:
                raise TimeoutError("Chromium does not answer")
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        told = message.get("params", {})
        match message.get("method"):
            case "Page.loadEventFired":
                self._loaded += 1
            case "Runtime.exceptionThrown":
                self.problems.append(json.dumps(told["exceptionDetails"]))
            case "Runtime.consoleAPICalled":
                self.problems.append(json.dumps(told["args"]))
            case "Log.entryAdded":
                self.problems.append(told["entry"]["text"])
            case "Network.requestWillBeSent":
                self.requests.append(told["request"]["url"])
        return message


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Browser, Path]]:
    folder = tmp_path_factory.mktemp("page")
    path = folder / "report.html"
    path.write_text(page(DOCUMENT, FIGURES), encoding="utf-8")
    chromium = Browser(folder / "profile")
    try:
        yield chromium, path
    finally:
        chromium.close()


@pytest.fixture
def browser(started: tuple[Browser, Path]) -> Browser:
    """The page, freshly loaded from the disk on a desktop's screen in the light scheme."""
    chromium, path = started
    chromium.requests.clear()
    chromium.problems.clear()
    chromium.show(1280, 900)
    chromium.open(path)
    return chromium


def test_opens_from_the_disk_without_complaints_and_asks_for_nothing_else(browser: Browser) -> None:
    assert browser("document.readyState") == "complete"
    assert browser.problems == []
    assert [url for url in browser.requests if not url.startswith(("file:", "data:", "about:"))] == []
    assert len({url for url in browser.requests if url.startswith("file:")}) == 1


@pytest.mark.parametrize("width", [360, 390, 768, 1280])
def test_the_page_itself_never_scrolls_sideways(browser: Browser, width: int) -> None:
    browser.show(width, 844)
    browser("document.querySelectorAll('details').forEach(one => { one.open = true })")
    assert browser("innerWidth") == width
    assert browser("document.documentElement.scrollWidth") <= width


def test_contents_stay_beside_the_report_and_fold_above_it_on_a_phone(browser: Browser) -> None:
    assert browser("document.querySelector('#contents details').open")
    assert browser("getComputedStyle(document.querySelector('#contents')).position") == "sticky"
    browser.show(390, 844)
    browser("new Promise(requestAnimationFrame)")
    assert not browser("document.querySelector('#contents details').open")


def test_what_is_trusted_stands_beside_the_step_error_and_below_it_on_a_phone(browser: Browser) -> None:
    section = "document.querySelector('#sandwich-title').parentElement"
    bottom = f"{section}.getBoundingClientRect().bottom"
    top = "document.querySelector('#trusted-title').getBoundingClientRect().top"
    browser.show(1280, 900)
    assert browser(f"{top} < {bottom}")
    browser.show(390, 844)
    assert browser(f"{top} >= {bottom}")


def test_a_command_is_seen_whole_on_a_phone(browser: Browser) -> None:
    browser.show(390, 844)
    browser("document.querySelectorAll('details').forEach(one => { one.open = true })")
    cut = (
        "[...document.querySelectorAll('.command pre')].filter(one => one.scrollWidth > one.clientWidth + 1)"
    )
    assert browser("document.querySelectorAll('.command pre').length") > 0
    assert browser(f"{cut}.length") == 0


_CONTRASTS = """(() => {
  const channels = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const luminance = ([r, g, b]) => [r, g, b]
    .map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = channels(getComputedStyle(one).backgroundColor);
      if (colour.length === 3) return colour;
    }
    return [255, 255, 255];
  };
  const bad = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    const unseen = element.closest("svg, script, style, option") || !element.checkVisibility();
    if (!node.data.trim() || unseen) continue;
    const colours = [channels(getComputedStyle(element).color), ground(element)];
    const [a, b] = colours.map(luminance).sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) bad.add(`${element.tagName}.${element.className}: ${ratio.toFixed(2)}`);
  }
  return [...bad];
})()"""


def test_dark_and_light_differ_and_every_text_has_the_contrast_of_wcag_aa(browser: Browser) -> None:
    grounds = {}
    for scheme in ("light", "dark"):
        browser.show(1280, 900, scheme=scheme)
        grounds[scheme] = browser("getComputedStyle(document.body).backgroundColor")
        assert browser(_CONTRASTS) == [], scheme
        assert browser("getComputedStyle(document.querySelector('.drawing')).backgroundColor") == (
            "rgb(255, 255, 255)"
        )
    assert grounds["light"] != grounds["dark"]


def _column(browser: Browser, column: int) -> list[Any]:
    return browser(
        "[...document.querySelectorAll('#grid-preconditioned-order tbody tr')].map(row => row.cells["
        f"{column}].querySelector('data')?.value ?? row.cells[{column}].textContent)"
    )


def test_a_heading_sorts_numbers_as_numbers_with_blanks_last(browser: Browser) -> None:
    assert _column(browser, 1) == ["–", "10", "9", "1e-13"]
    click = "document.querySelectorAll('#grid-preconditioned-order th button')[1].click()"
    browser(click)
    assert _column(browser, 1) == ["1e-13", "9", "10", "–"]
    assert browser("document.querySelectorAll('#grid-preconditioned-order th')[1].ariaSort") == "ascending"
    browser(click)
    assert _column(browser, 1) == ["10", "9", "1e-13", "–"]
    assert browser("document.querySelectorAll('#grid-preconditioned-order th')[1].ariaSort") == "descending"


def test_a_heading_sorts_by_the_keyboard(browser: Browser) -> None:
    browser("document.querySelectorAll('#grid-preconditioned-order th button')[0].focus()")
    browser.key("Enter", "\r")
    assert _column(browser, 0) == ["a", "b", "c", "d"]
    assert browser("document.querySelectorAll('#grid-preconditioned-order th')[1].ariaSort") is None


def test_the_filter_keeps_verdicts_of_a_status_with_all_words(browser: Browser) -> None:
    def left() -> list[str]:
        return browser(
            "[...document.querySelectorAll('#all-verdicts tbody tr')].filter(row => !row.hidden)"
            ".map(row => row.cells[0].textContent)"
        )

    everything = left()
    browser("document.querySelector('a.count[data-status=vacuous]').click()")
    assert everything == [v["claim"] for part in DOCUMENT["theorems"].values() for v in part["verdicts"]]
    assert left() == ["relu-icgd/lean/start"]
    assert (
        browser("document.getElementById('filter-count').textContent") == f"1 of {len(everything)} verdicts"
    )
    browser("""(() => {
      document.getElementById('filter-status').value = '';
      document.getElementById('filter-status').dispatchEvent(new Event('change'));
      document.getElementById('filter-text').value = 'Census 13  heads';
      document.getElementById('filter-text').dispatchEvent(new Event('input'));
    })()""")
    assert left() == ["relu-icgd/lean/heads"]


def test_the_name_of_a_number_leads_to_it(browser: Browser) -> None:
    browser("document.querySelector('#numbers details').open = true")
    browser("document.querySelector('a[href=\"#icgdHeads\"]').click()")
    assert browser("location.hash") == "#icgdHeads"
    assert browser("document.querySelector(':target').value") == "13"


def test_formulas_are_drawn_as_mathematics(browser: Browser) -> None:
    taller = "document.querySelector('.bound math mfrac').getBoundingClientRect().height"
    assert browser(taller) > 1.5 * browser("parseFloat(getComputedStyle(document.body).fontSize)")


def test_without_a_script_everything_is_there_to_read(browser: Browser) -> None:
    address = browser("location.href")
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    browser.open(Path(address.removeprefix("file://").partition("#")[0]))
    browser.call("Emulation.setScriptExecutionDisabled", value=False)
    assert browser("document.querySelectorAll('th button, .command button').length") == 0
    assert browser("document.querySelector('.filter').checkVisibility()") is False
    assert browser("document.querySelector('#all-verdicts').checkVisibility()") is True
    assert browser("document.querySelector('#contents a').checkVisibility()") is True


def test_an_injected_script_does_not_run_and_nothing_can_be_fetched(browser: Browser, tmp_path: Path) -> None:
    text = page(DOCUMENT, FIGURES)
    planted = (
        "<script>document.title = 'ran'</script><img src='http://127.0.0.1:9/x.png'>"
        "<script src='data:text/javascript,document.title=1'></script></main>"
    )
    path = tmp_path / "planted.html"
    path.write_text(text.replace("</main>", planted), encoding="utf-8")
    browser.requests.clear()
    browser.open(path)
    title = browser("document.title")
    assert title.startswith("Audit of")
    assert [problem for problem in browser.problems if "Content Security Policy" in problem]
    assert browser("fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'refused')") == "refused"
