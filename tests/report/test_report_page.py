"""The page in a real browser: every section, filter and zoom, no complaint of the browser or of accessibility rules."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from packer.cli.main import run

pytestmark = [pytest.mark.browser, pytest.mark.slow]
_CHROMIUM = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync")
SECTIONS = ["findings", "settings", "splits", "classes", "sizes", "rejects", "copies", "pictures"]


@pytest.fixture(scope="module")
def page_file(odd_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    assert run(["report", str(odd_set), "-o", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("there is no chromium")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=program, args=list(_CHROMIUM))
        yield opened
        opened.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_the_page_is_whole_fits_its_window_and_can_be_used_by_everyone(
    browser: Any, page_file: Path, width: int, scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
    page, complaints, requests = context.new_page(), [], []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(page_file.as_uri())
    assert page.eval_on_selector_all("main > section", "all => all.map(one => one.id)") == SECTIONS
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate("[...document.images].every(image => image.id === 'zoom-picture' || image.naturalWidth > 0)")
    found = axe.Axe().run(page)
    assert [(fault["id"], fault["nodes"][0]["target"]) for fault in found.response["violations"]] == []
    assert complaints == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    context.close()


def test_headings_stand_over_their_columns_and_names_are_whole(browser: Any, page_file: Path) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 900})
    page.goto(page_file.as_uri())
    align = (
        "[...document.querySelectorAll('#classes table tr:first-child > *')].map(e => getComputedStyle(e).textAlign)"
    )
    assert page.evaluate(align) == ["right", "left", "right", "right"] * 2  # of the headings, and of the first row
    heights = (
        "['train', 'val'].map(n => [...document.querySelectorAll('#splits tbody th')].find(e => e.textContent == n)"
    )
    lines = f"{heights}.getBoundingClientRect().height).map(px => Math.round(px / 24))"
    assert page.evaluate(lines) == [1, 1]
    page.close()


def test_filters_hide_rows_and_pictures_and_a_picture_can_be_enlarged(browser: Any, page_file: Path) -> None:
    page = browser.new_page()
    page.goto(page_file.as_uri())
    page.fill("#class-filter", "rar")
    assert page.locator("#class-rows tbody tr:visible").count() == 1
    assert page.text_content("#class-rows-shown") == "1 of 4"
    page.fill("#reject-filter", "nothing like it")
    assert page.locator("#reject-rows tbody tr:visible").count() == 0
    every = page.locator("#sheet li").count()
    page.select_option("#sheet-label", label="rare")
    assert page.locator("#sheet li:visible").count() == 1 < every
    page.locator("#sheet li:visible button").click()
    assert page.is_visible("#zoom")
    assert page.text_content("#zoom-title") == "rare"
    assert "rare/blank.png" in str(page.text_content("#zoom-detail"))
    page.keyboard.press("Escape")
    assert not page.is_visible("#zoom")
    page.close()


def test_names_from_outside_are_text_and_not_markup(page_file: Path) -> None:
    text = page_file.read_text()
    assert "&lt;b&gt;copy-b.jpg" in text
    assert "<b>copy-b" not in text


def test_the_command_says_what_it_wrote(odd_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "report.html"
    assert run(["report", str(odd_set), "-o", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"path": str(path), "num_bytes": path.stat().st_size}
    assert run(["report", str(odd_set), "-o", str(tmp_path / "none/report.html")]) == 2
    assert "report.html cannot be written" in capsys.readouterr().err
