"""The HTML report in a real browser, Chromium: how it opens, filters, prints, scrolls, and who can use it."""

from __future__ import annotations

import base64
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import axe_playwright_python
import matplotlib.image
import pytest
from playwright.sync_api import CDPSession, Page, sync_playwright

from icgd.reports.figures.figures import Drawn
from icgd.reports.figures.style import COLOURS
from icgd.reports.html import inline_svg
from icgd.reports.html.page import page

DATA = Path(__file__).parents[1] / "data"
DOCUMENT: dict[str, Any] = json.loads((DATA / "document_html.json").read_text(encoding="utf-8"))
DOCUMENT["findings"][0]["text"] += (
    " Here norm2(w(l) - w_GD(l)) <= (eps/L_f) ((1 + eta L_f)^l - 1) sqrt(sum_i x_i^2) holds."
)
FIGURES = [
    Drawn(
        theorem, f"drawing-{index}", f"Drawing {index}", "A line.", Path("none.pdf"), DATA / "figure_html.svg"
    )
    for index, theorem in enumerate(DOCUMENT["theorems"])
]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text(encoding="utf-8")
pytestmark = pytest.mark.needs("chromium")

_LIMIT = 300_000.0
"""Milliseconds after which a browser that does not answer hangs."""

_OPEN_ALL = "document.querySelectorAll('details').forEach(one => { one.open = true })"


class Browser:
    """A page of a headless Chromium.  problems: what its console complained of; requests: what it loaded."""

    def __init__(self, tab: Page) -> None:
        self.tab = tab
        self.problems: list[str] = []
        self.requests: list[str] = []
        self._protocol: CDPSession = tab.context.new_cdp_session(tab)
        tab.set_default_timeout(_LIMIT)
        tab.on("console", lambda message: self.problems.append(message.text))
        tab.on("pageerror", lambda error: self.problems.append(str(error)))
        tab.on("request", lambda request: self.requests.append(request.url))

    def __call__(self, script: str) -> Any:
        """The value of an expression in the page."""
        return self.tab.evaluate(script)

    def open(self, path: Path, name: str = "") -> None:
        """Load a file, at the place of that name."""
        self.tab.goto(path.as_uri() + (f"#{name}" if name else ""))

    def show(self, width: int, height: int, *, scheme: Any = "light") -> None:
        """A screen of that size, a phone where it is narrow, in a colour scheme."""
        shape = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self._protocol.send("Emulation.setDeviceMetricsOverride", shape)
        self.tab.emulate_media(color_scheme=scheme)

    def pixel(self, x: float, y: float) -> tuple[float, ...]:
        """Red, green and blue of a point of the screen, from 0 to 1."""
        taken = self._protocol.send("Page.captureScreenshot", {"format": "png"})["data"]
        picture = matplotlib.image.imread(io.BytesIO(base64.b64decode(taken)))
        return tuple(float(one) for one in picture[int(y), int(x), :3])


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Browser, Path]]:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page(DOCUMENT, FIGURES), encoding="utf-8")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, timeout=_LIMIT)
        yield Browser(chromium.new_page()), path
        chromium.close()


@pytest.fixture
def browser(started: tuple[Browser, Path]) -> Browser:
    """The page, freshly loaded from the disk on a desktop's screen in the light scheme."""
    chromium, path = started
    chromium.show(1280, 900)
    chromium.open(Path("/dev/null"))  # leaves a name of a place behind
    chromium.requests.clear()
    chromium.problems.clear()
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
    browser(_OPEN_ALL)
    assert browser("innerWidth") == width
    assert browser("document.documentElement.scrollWidth") <= width


def test_contents_stay_beside_the_report_and_fold_above_it_on_a_phone(browser: Browser) -> None:
    assert browser("document.querySelector('#contents details').open")
    assert browser("getComputedStyle(document.querySelector('#contents')).position") == "sticky"
    browser.show(390, 844)
    browser("new Promise(requestAnimationFrame)")
    assert not browser("document.querySelector('#contents details').open")


def test_a_command_is_seen_whole_on_a_phone(browser: Browser) -> None:
    browser.show(390, 844)
    browser(_OPEN_ALL)
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
    browser(_OPEN_ALL)
    browser("document.querySelectorAll('#grid-preconditioned-order th button')[0].focus()")
    browser.tab.keyboard.press("Enter")
    assert _column(browser, 0) == ["a", "b", "c", "d"]
    assert browser("document.querySelectorAll('#grid-preconditioned-order th')[1].ariaSort") is None


_SHOWN = "[...document.querySelectorAll('details.item')].filter(one => !one.hidden).map(one => one.id)"


def test_closed_the_page_is_short_and_open_it_has_everything(browser: Browser) -> None:
    assert browser("[...document.querySelectorAll('main details')].filter(one => one.open).length") == 0
    for width, height, most in ((1280, 900, 3.5), (390, 844, 6)):
        browser.show(width, height)
        assert browser("document.documentElement.scrollHeight") < most * height
    browser(_OPEN_ALL)
    assert browser("document.documentElement.scrollHeight") > 10 * 844
    unseen = "[...document.querySelectorAll('main .inside')].filter(one => !one.checkVisibility())"
    assert browser(f"{unseen}.length") == 0


def test_the_filter_keeps_what_has_the_chosen_values_and_all_the_words(browser: Browser) -> None:
    everything = browser(_SHOWN)
    judged = [one for part in DOCUMENT["theorems"].values() for one in part["verdicts"]]
    whole = len(
        {one["claim"] for one in judged} | {k for p in DOCUMENT["theorems"].values() for k in p["bounds"]}
    )
    assert len(everything) == whole + len(DOCUMENT["findings"]) + len(DOCUMENT["questions"])
    browser("document.querySelector('a.count[data-status=vacuous]').click()")
    assert browser(_SHOWN) == ["claim-relu-icgd-lean-start"]
    assert browser("document.querySelector('#claim-relu-icgd-lean-start').checkVisibility()")
    assert browser("document.getElementById('findings').checkVisibility()") is False
    assert browser("document.getElementById('part-relu-icgd-lean-census').checkVisibility()") is False
    told = "document.getElementById('filter-count').textContent"
    assert browser(told) == f"1 of {len(everything)} findings, claims and questions"
    counts = "[...document.querySelectorAll('.about')].filter(one => one.checkVisibility()).length"
    assert browser(counts) == 0  # they are those of everything
    browser.tab.click("#filter-clear")
    assert browser(_SHOWN) == everything and browser(counts) > 0
    assert browser("[...document.querySelectorAll('.chapter')].filter(one => one.open).length") == 0
    for of in ("paper", "bearing", "severity", "verdict"):
        values = browser(f"[...document.getElementById('filter-{of}').options].map(one => one.value)")[1:]
        assert values
        for value in values:
            browser.tab.select_option(f"#filter-{of}", value)
            shown = browser(_SHOWN)
            assert len(shown) > 0 and all(
                value == browser(f"document.getElementById('{one}').dataset.{of}") for one in shown
            )
            label = browser(f"document.getElementById('filter-{of}').selectedOptions[0].textContent")
            if of != "paper":  # questions have papers, too
                assert label.strip() == f"{label.split(' (')[0].strip()} ({len(shown)})"
        browser.tab.select_option(f"#filter-{of}", "")
    browser.tab.fill("#filter-words", "Census 13  heads")
    assert browser(_SHOWN) == ["claim-relu-icgd-lean-heads"]
    browser.tab.fill("#filter-words", "B_v C^4")  # as it is typed, not as it is set
    assert browser(_SHOWN)
    browser.tab.fill("#filter-words", "no such words")
    assert browser(_SHOWN) == []


def test_an_address_opens_what_it_names_whatever_the_filter_hides(browser: Browser, started: Any) -> None:
    name = browser("document.querySelector('[data-bearing]').id")
    seen = f"document.querySelector('#{name} .inside').checkVisibility()"
    assert browser(seen) is False
    browser.tab.fill("#filter-words", "no such words")
    browser(f"document.querySelector('#summary a[href=\"#{name}\"]')?.click() ?? (location.hash = '{name}')")
    browser("new Promise(requestAnimationFrame)")
    assert browser(seen) is True and browser("document.getElementById('filter-words').value") == ""
    browser(f"document.getElementById('{name}').open = false")
    browser(f"document.querySelector('a[href=\"#{name}\"]').click()")
    assert browser(seen) is True
    browser.open(Path("/dev/null"))
    browser.open(started[1], "claim-relu-icgd-lean-heads")
    top = browser("document.getElementById('claim-relu-icgd-lean-heads').getBoundingClientRect().top")
    assert browser("document.querySelector('#claim-relu-icgd-lean-heads .inside').checkVisibility()")
    assert 0 <= top < 900


def test_what_is_chosen_is_in_the_address_and_back_leads_to_the_choice_before(
    browser: Browser, started: tuple[Browser, Path]
) -> None:
    everything, fragment = browser(_SHOWN), "decodeURIComponent(location.hash).replaceAll('+', ' ')"
    browser.tab.select_option("#filter-bearing", "error")
    errors = browser(_SHOWN)
    assert browser(fragment) == "#find?bearing=error" and errors != everything
    browser.tab.focus("#filter-words")
    browser.tab.keyboard.type("η & a=b #?é ")
    assert browser(fragment) == "#find?bearing=error&words=η & a=b #?é"
    sent = browser("location.href")
    browser.tab.go_back()  # over the words, which are one step
    assert browser(fragment) == "#find?bearing=error" and browser(_SHOWN) == errors
    assert browser("document.getElementById('filter-words').value") == ""
    name = browser("document.querySelector('.item:not([hidden])').id")
    browser(f"location.hash = '{name}'")
    assert browser(_SHOWN) == errors
    browser.tab.go_back()
    browser.tab.go_back()
    assert browser("location.hash") == "" and browser(_SHOWN) == everything
    browser.tab.go_forward()
    assert browser(_SHOWN) == errors
    browser.tab.click("#filter-clear")
    assert browser("location.hash") == "#find" and browser(_SHOWN) == everything
    browser.show(1280, 500)
    browser.tab.goto("about:blank")
    browser.tab.goto(sent)
    chosen = "['words', 'bearing', 'paper'].map((one) => document.getElementById(`filter-${one}`).value)"
    assert browser(chosen) == ["η & a=b #?é", "error", ""] and browser(_SHOWN) == []
    assert 0 <= browser("document.getElementById('find').getBoundingClientRect().top") < 450
    browser.open(started[1], "find?verdict=odd&paper=nowhere&words=")
    assert browser(_SHOWN) == everything and browser.problems == []
    assert browser("document.getElementById('filter-verdict').selectedOptions[0].textContent") == "any"


def test_everything_can_be_done_with_the_keyboard_and_is_seen_to_have_the_focus(browser: Browser) -> None:
    browser.show(1280, 900)
    reached, unseen = [], []
    for _ in range(400):
        browser.tab.keyboard.press("Tab")
        at, width = browser("""(() => {
          const one = document.activeElement;
          const style = getComputedStyle(one);
          const inside = one.closest("details")?.id ?? "";
          const name = one.id || `${inside} ${one.localName} ${one.hash ?? ""}`;
          return [name, style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth)];
        })()""")
        if at.strip() == "body":  # after the last
            break
        reached.append(at)
        unseen += [at] if width < 2 else []
    assert reached[0].strip() == "a #content" and unseen == []
    order = [reached.index(f"filter-{name}") for name in ("words", "paper", "bearing", "severity", "verdict")]
    assert order == list(range(order[0], order[0] + 5))
    chapters = browser("[...document.querySelectorAll('.chapter')].map(one => one.id)")
    places = [reached.index(f"{name} summary ") for name in chapters]
    assert places == sorted(places) and order[-1] < places[0]
    for name in ("findings", browser("document.querySelector('[data-bearing]').id")):
        browser(f"document.querySelector('#{name} > summary').focus()")
        for key, opened in (("Enter", True), ("Space", False), ("Enter", True)):
            browser.tab.keyboard.press(key)
            assert browser(f"document.getElementById('{name}').open") is opened
    browser("document.getElementById('filter-bearing').focus()")
    browser.tab.keyboard.press("ArrowDown")
    assert (
        0 < len(browser(_SHOWN)) < len(browser("[...document.querySelectorAll('.item')].map(one => one.id)"))
    )
    browser("document.getElementById('filter-clear').focus()")
    browser.tab.keyboard.press("Enter")
    assert browser("document.getElementById('filter-bearing').value") == ""


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_to_complain_of_closed_and_open(browser: Browser, scheme: str, width: int) -> None:
    browser.show(width, 900, scheme=scheme)
    browser(AXE)
    for opened in ("0", _OPEN_ALL):
        browser(opened)
        found = browser("axe.run(document, { resultTypes: ['violations'] })")
        told = [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]]
        assert told == [], (scheme, width, opened)
        assert len(found["passes"]) > 20


def test_figures_have_the_inks_of_their_scheme_and_are_seen_in_both(browser: Browser) -> None:
    inks: dict[str, dict[str, float]] = {}
    pens = [*(colour.lower() for colour in COLOURS), "#737373", "#595959", "#ededed", "#ffffff"]
    sheet = inline_svg.inks(f"var(--ink-{pen[1:]})" for pen in pens)
    for scheme in ("light", "dark"):
        browser.show(1280, 900, scheme=scheme)
        browser(f"document.head.insertAdjacentHTML('beforeend', {json.dumps(f'<style>{sheet}</style>')})")
        inks[scheme] = browser(f"""(() => {{
          const seen = (colour) => {{
            const pen = document.createElement("canvas").getContext("2d");
            pen.fillStyle = colour;
            pen.fillRect(0, 0, 1, 1);
            return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3).map((c) => c / 255)
              .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
              .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
          }};
          const drawing = document.querySelector(".drawing");
          const line = drawing.querySelector("[style*='stroke: var(--ink']");
          const found = {{ page: seen(getComputedStyle(drawing).backgroundColor) }};
          for (const pen of {json.dumps(pens)}) {{
            line.style.stroke = `var(--ink-${{pen.slice(1)}})`;
            found[pen] = seen(getComputedStyle(line).stroke);
          }}
          return found;
        }})()""")
    light, dark = inks["light"], inks["dark"]
    assert light["page"] > 0.8 > 0.1 > dark["page"]
    for pen in (*(colour.lower() for colour in COLOURS), "#737373", "#595959"):
        assert (dark[pen] + 0.05) / (dark["page"] + 0.05) >= 3, pen
    # A ground or shade on paper is near the ground in the dark; what is darker there is lighter here.
    assert all((dark[pen] + 0.05) / (dark["page"] + 0.05) < 1.3 for pen in ("#ededed", "#ffffff"))
    greys = ("#000000", "#595959", "#737373", "#ededed", "#ffffff")
    for some in (greys, ("#004488", "#228833", "#ddaa33")):
        assert sorted(some, key=lambda pen: -dark[pen]) == list(some)


def test_a_table_too_wide_for_a_phone_shows_a_shadow_where_there_is_more(browser: Browser) -> None:
    browser.show(390, 844)
    browser(_OPEN_ALL)
    box = browser("""(() => {
      const wide = [...document.querySelectorAll(".scroll")].find(
        (one) => one.querySelector("table") && one.scrollWidth > one.clientWidth + 60);
      wide.id ||= "wide";
      wide.scrollIntoView({ block: "center" });
      const { left, right, top, bottom } = wide.getBoundingClientRect();
      return [wide.id, left, right, top + 3];
    })()""")
    name, left, right, y = box
    ends = {}
    for place in ("start", "end"):
        browser(f"document.getElementById('{name}').scrollLeft = {0 if place == 'start' else 99999}")
        ends[place] = [sum(browser.pixel(x, y)) for x in (left + 1, right - 2)]
    assert ends["start"][0] - ends["start"][1] > 0.3  # no shadow on the left, one on the right
    assert ends["end"][1] - ends["end"][0] > 0.3


def test_on_paper_everything_is_there_with_scripts_and_without(browser: Browser) -> None:
    closed = "[...document.querySelectorAll('main .inside')].filter(one => !one.checkVisibility()).length"
    assert browser(closed) > 0
    browser.tab.emulate_media(media="print")
    assert browser(closed) == 0
    browser.tab.emulate_media(media="screen")
    browser("dispatchEvent(new Event('beforeprint'))")
    assert browser("document.querySelectorAll('main details:not([open])').length") == 0
    browser("dispatchEvent(new Event('afterprint'))")
    assert browser("document.querySelectorAll('main details[open]').length") == 0


def test_the_name_of_a_number_leads_to_it(browser: Browser) -> None:
    browser("document.querySelector('a[href=\"#icgdHeads\"]').click()")
    assert browser("location.hash") == "#icgdHeads"
    assert browser("document.querySelector(':target').value") == "13"


def test_formulas_are_drawn_as_mathematics(browser: Browser) -> None:
    taller = "document.querySelector('.bound math mfrac').getBoundingClientRect().height"
    assert browser(taller) > 1.5 * browser("parseFloat(getComputedStyle(document.body).fontSize)")


def test_without_a_script_everything_is_there_to_read(browser: Browser, started: Any) -> None:
    chromium = browser.tab.context.browser
    assert chromium is not None
    plain = Browser(chromium.new_page(java_script_enabled=False))
    plain.open(started[1], "claim-relu-icgd-lean-heads")
    assert plain("document.querySelectorAll('th button, .command button').length") == 0
    assert plain("document.querySelector('.filter').checkVisibility()") is False
    assert plain("document.querySelector('#claim-relu-icgd-lean-heads').checkVisibility()") is True
    plain.tab.click("#claim-relu-icgd-lean-heads > summary")
    assert plain("document.querySelector('#claim-relu-icgd-lean-heads .inside').checkVisibility()") is True
    assert plain("document.querySelector('#contents a').checkVisibility()") is True
    plain.tab.close()


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
