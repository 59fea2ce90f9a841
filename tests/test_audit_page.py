"""The page of an audit: what stands in the file, and what a person does with it in a browser."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import time
import zlib
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from audits import HOSTILE, OVERRIDE, write_audit
from explint.audit.page import write_page
from explint.cli import cli

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small audit with histories, failed packages, verdicts and hostile names."""
    folder = tmp_path_factory.mktemp("audits") / "study"
    write_audit(folder, 300)
    return folder


@pytest.fixture(scope="module")
def page(audit: Path) -> Path:
    file = audit.parent / "report.html"
    file.write_text(write_page(audit), encoding="utf-8")
    return file


def blocks(page: str) -> dict[str, Any]:
    """The data in a page by the ids of its blocks."""
    found = re.findall(r'<script type="text/plain" id="([\w-]+)">([A-Za-z0-9+/=]+)</script>', page)
    return {name: json.loads(zlib.decompress(base64.b64decode(text))) for name, text in found}


def test_the_same_audit_gives_the_same_page(audit: Path, page: Path) -> None:
    assert write_page(audit) == page.read_text(encoding="utf-8")


def test_the_page_allows_its_own_script_and_style_and_nothing_else(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    policy = unescape(re.findall(r'Content-Security-Policy" content="([^"]*)"', text)[0])
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "require-trusted-types-for 'script'" in policy
    for kind, content in (
        ("script", re.findall(r'<script type="module">(.*?)</script>', text, re.DOTALL)),
        ("style", re.findall(r"<style>(.*?)</style>", text, re.DOTALL)),
    ):
        (only,) = content
        digest = base64.b64encode(hashlib.sha256(only.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy


def test_what_packages_say_is_no_markup_of_the_page(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    script = re.findall(r'<script type="module">(.*?)</script>', text, re.DOTALL)[0]
    assert "onerror" not in text.replace(script, "")
    data = json.dumps(blocks(text), ensure_ascii=False)
    assert HOSTILE.replace('"', '\\"') in data
    assert OVERRIDE not in data


def test_a_title_is_text(audit: Path) -> None:
    text = write_page(audit, title="<b>{{data}} & all</b>")
    assert "<title>&lt;b&gt;{{data}} &amp; all&lt;/b&gt;</title>" in text


def test_a_page_has_every_package_and_finding(audit: Path, page: Path) -> None:
    about = json.loads((audit / "audit.json").read_text())
    data = blocks(page.read_text(encoding="utf-8"))
    overview = data.pop("overview-data")
    assert len(overview["packages"]["id"]) == about["counts"]["packages"] == 300
    assert sum(overview["packages"]["findings"]) == about["counts"]["findings"]
    assert len(overview["findings"]["rule"]) == about["counts"]["findings"]
    details = [detail for _, block in sorted(data.items()) for detail in block]
    assert [len(detail["findings"]) for detail in details] == overview["packages"]["findings"]


def test_a_large_audit_is_picked_from_evenly(audit: Path) -> None:
    text = write_page(audit, packages=30, frames=False)
    data = blocks(text)
    overview = data.pop("overview-data")
    assert len(overview["packages"]["id"]) == 30
    assert overview["counts"]["packages"] == 300
    assert overview["packages"]["id"][-1].startswith("corpus/000290")
    frames = {f["frame"] for block in data.values() for d in block for f in d["findings"]}
    assert frames == {None}


def test_the_command_writes_the_file_and_says_what_is_wrong(audit: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    done = CliRunner().invoke(cli, ["audit", "report", str(audit), "-o", str(out)])
    assert (done.exit_code, done.stdout) == (0, "")
    assert out.read_text(encoding="utf-8") == write_page(audit)
    shown = CliRunner().invoke(cli, ["audit", "report", str(audit), "-o", "-"])
    assert shown.stdout == out.read_text(encoding="utf-8")
    for words, told in (
        ([str(tmp_path)], "holds no audit"),
        ([str(audit), "-o", str(tmp_path)], "it is a folder"),
        ([str(audit), "-o", str(tmp_path / "no" / "page.html")], "there is no folder"),
    ):
        failed = CliRunner().invoke(cli, ["audit", "report", *words])
        assert failed.exit_code == 2
        assert told in failed.stderr


# In a browser


class Browser:
    """Chromium with the page open, and what it complained about or asked the network for."""

    def __init__(self, driver: Any) -> None:  # noqa: ANN401 - selenium is imported late
        self.driver = driver

    def open(self, page: Path, fragment: str = "") -> None:
        self.driver.get("about:blank")
        # Chromium's own start page asks for things of its own.
        for log in ("browser", "performance"):
            self.driver.get_log(log)
        self.driver.get(f"{page.as_uri()}{fragment}")
        self.until("return document.getElementById('state').hidden")

    def until(self, script: str, *words: object) -> Any:  # noqa: ANN401 - what JavaScript gives
        """The result of a script once it is true."""
        end = time.monotonic() + 60
        while not (result := self.driver.execute_script(script, *words)):
            assert time.monotonic() < end, f"never true: {script}"
            time.sleep(0.02)
        return result

    def run(self, script: str, *words: object) -> Any:  # noqa: ANN401 - what JavaScript gives
        return self.driver.execute_script(script, *words)

    def find(self, selector: str) -> Any:  # noqa: ANN401 - an element
        return self.driver.find_element("css selector", selector)

    def press(self, *keys: str) -> None:
        from selenium.webdriver import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def text(self, selector: str) -> str:
        script = "return document.querySelector(arguments[0])?.innerText ?? ''"
        return str(self.run(script, selector))

    def rows(self) -> list[str]:
        names: list[str] = self.run(
            "return [...document.querySelectorAll('#grid tbody [role=rowheader]')]"
            ".map(cell => cell.textContent)"
        )
        return names

    def assert_quiet(self) -> None:
        """No message of the console, and nothing asked of any network."""
        assert [entry["message"] for entry in self.driver.get_log("browser")] == []
        asked = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                asked.append(message["params"]["request"]["url"])
        assert {url for url in asked if not url.startswith("file:///")} == set()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("chromium and chromedriver are not installed")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for word in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        "--window-size=1400,1000",
        f"--user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # A driver named by path: selenium looks for no other one.
    driver = webdriver.Chrome(service=Service(executable_path=DRIVER), options=options)
    try:
        yield Browser(driver)
    finally:
        driver.quit()


def test_a_person_searches_filters_and_sorts(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.text("#count") == "300 packages"
    assert len(browser.rows()) < 60
    browser.press("/", "study-1")
    browser.until("return document.getElementById('count').textContent.includes(' of ')")
    assert all(name.startswith("study-1@") for name in browser.rows())
    study = len(browser.rows())
    browser.until("return location.hash.includes('words=study-1')")
    browser.run("document.getElementById('clear').click()")
    browser.until("return document.getElementById('count').textContent === '300 packages'")
    field = browser.find("#verdict")
    field.send_keys("ready")
    browser.until("return document.getElementById('count').textContent.includes(' of ')")
    badges = browser.run(
        "return [...new Set([...document.querySelectorAll('#grid .badge')].map(b => b.className))]"
    )
    assert badges == ["badge r"]
    browser.run("document.getElementById('clear').click()")
    heading = browser.find("#grid th.number button")
    heading.click()
    head = browser.run("return document.querySelector('#grid th.number').getAttribute('aria-sort')")
    assert head == "descending"
    errors = browser.run(
        "return [...document.querySelectorAll('#grid tbody td.number.short:not(.medium)')]"
        ".map(cell => Number(cell.textContent))"
    )
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > errors[-1]
    # What the address says is what a colleague sees who opens it.
    browser.open(page, "#words=study-1")
    assert len(browser.rows()) == study
    browser.assert_quiet()


def test_charts_have_tables_and_filter(browser: Browser, page: Path) -> None:
    browser.open(page)
    charts = browser.run(
        "return [...document.querySelectorAll('.card:not([hidden])')].map(card => ["
        "card.querySelector('h3').textContent,"
        "card.querySelector('.chart').getAttribute('aria-label'),"
        "card.querySelectorAll('.chart svg, .chart table').length])"
    )
    titles = [title for title, *_ in charts]
    assert {"Rules", "Criteria", "Readiness", "Versions", "Errors per package"} <= set(titles)
    assert {"The judge and the code", "What the judge claims", "What the judge misses"} <= set(
        titles
    )
    assert all(told.startswith(f"{title}: ") and drawn for title, told, drawn in charts)
    browser.run("document.querySelectorAll('.card details').forEach(d => { d.open = true })")
    browser.until("return document.querySelectorAll('.card .table tbody tr').length > 30")
    assert browser.run(
        "return [...document.querySelectorAll('.card:not([hidden]) .table')]"
        ".every(t => t.querySelector('caption') && t.querySelector('th[scope=col]'))"
    )
    # A bar filters, and so does the button in the table for those who use no mouse.
    browser.run(
        "document.querySelector('#chart-rules rect.clickable')"
        ".dispatchEvent(new MouseEvent('click', {bubbles: true}))"
    )
    rule = browser.run("return document.getElementById('rule').value")
    assert "/" in rule
    browser.until("return document.getElementById('count').textContent.includes(' of ')")
    browser.run("document.getElementById('clear').click()")
    browser.until("return document.getElementById('rule').value === ''")
    browser.run("document.querySelector('#chart-rules .table button').click()")
    assert browser.run("return document.getElementById('rule').value") == rule
    browser.assert_quiet()


def test_the_keyboard_alone_is_enough(browser: Browser, page: Path) -> None:
    from selenium.webdriver import Keys

    browser.open(page)
    browser.press(Keys.TAB)
    assert browser.run("return document.activeElement.className") == "skip"
    browser.press(Keys.ENTER)
    assert browser.run("return document.activeElement.id") == "packages"
    browser.press(Keys.TAB)
    if browser.run("return document.activeElement.className") == "scroller":
        browser.press(Keys.TAB)
    assert browser.run("return document.activeElement.id") == "grid"
    browser.press(Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    active = "return document.getElementById(document.getElementById('grid')"
    active += ".getAttribute('aria-activedescendant')).getAttribute('aria-rowindex')"
    assert browser.run(active) == "4"
    browser.press(Keys.END)
    assert browser.run(active) == "301"
    browser.press(Keys.HOME, Keys.ENTER)
    browser.until("return document.getElementById('package').open")
    first = browser.text("#package-title")
    assert browser.run("return document.activeElement.id") == "package-title"
    browser.press(Keys.ARROW_RIGHT)
    browser.until(
        "return document.getElementById('package-title').innerText !== arguments[0]", first
    )
    browser.press(Keys.ESCAPE)
    browser.until("return !document.getElementById('package').open")
    assert browser.run("return document.activeElement.id") == "grid"
    assert browser.run(active) == "3"
    browser.assert_quiet()


def test_a_package_shows_its_findings_with_code(browser: Browser, page: Path) -> None:
    browser.open(page, "#words=study-1")
    browser.run("document.getElementById('row-0').click()")
    browser.until("return document.querySelectorAll('#package .finding').length > 0")
    assert browser.text("#package .facts").count("main") >= 1
    marks = browser.run(
        "return [...document.querySelectorAll('#package .frame mark')].map(m => m.textContent)"
    )
    assert marks
    assert all(mark == mark.strip() for mark in marks)
    links = browser.run("return [...document.querySelectorAll('#package a')].map(a => a.href)")
    assert links
    assert all(link.endswith(".md") for link in links)
    assert "package=study-1" in browser.run("return location.hash")
    assert browser.run("return document.querySelectorAll('#package .claim').length") > 0
    browser.assert_quiet()


def test_hostile_names_are_text_only(browser: Browser, page: Path) -> None:
    browser.open(page, "#words=onerror")
    assert len(browser.rows()) == 1
    browser.run("document.getElementById('row-0').click()")
    browser.until("return document.getElementById('package').open")
    title = browser.text("#package-title")
    assert title.startswith(HOSTILE)
    assert OVERRIDE not in browser.run("return document.body.innerText")
    assert browser.run("return document.querySelectorAll('img, iframe, object').length") == 0
    assert browser.run("return document.querySelectorAll('#package script').length") == 0
    browser.assert_quiet()


def test_light_dark_narrow_and_print(browser: Browser, page: Path, tmp_path: Path) -> None:
    browser.open(page)
    background = "return getComputedStyle(document.documentElement).backgroundColor"
    light = browser.run(background)
    command: Callable[..., Any] = browser.driver.execute_cdp_cmd
    scheme = {"name": "prefers-color-scheme", "value": "dark"}
    command("Emulation.setEmulatedMedia", {"features": [scheme]})
    dark = browser.run(background)
    assert light != dark
    browser.run("document.getElementById('theme').click()")
    assert browser.run(background) == light
    browser.run("document.getElementById('theme').click()")
    command("Emulation.setEmulatedMedia", {"features": []})
    assert browser.run(background) == dark
    browser.run("document.getElementById('theme').click()")
    assert browser.run(background) == light

    size = {"width": 400, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    command("Emulation.setDeviceMetricsOverride", size)
    browser.until("return document.querySelector('#chart-rules .chart').clientWidth < 400")
    time.sleep(0.3)
    assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth")
    command("Emulation.clearDeviceMetricsOverride", {})
    picture = tmp_path / "page.png"
    assert browser.driver.save_screenshot(str(picture))
    assert picture.stat().st_size > 20_000

    pdf = base64.b64decode(command("Page.printToPDF", {"printBackground": True})["data"])
    from pypdf import PdfReader

    (tmp_path / "page.pdf").write_bytes(pdf)
    pages = PdfReader(tmp_path / "page.pdf").pages
    assert 2 <= len(pages) <= 20
    assert "Ready to run" in pages[0].extract_text()
    browser.assert_quiet()


def test_ten_thousand_packages_stay_fluid(browser: Browser, tmp_path: Path) -> None:
    write_audit(tmp_path / "large", 10_000)
    page = tmp_path / "large.html"
    page.write_text(write_page(tmp_path / "large"), encoding="utf-8")
    assert page.stat().st_size < 8_000_000
    browser.open(page)
    assert browser.text("#count") == "10,000 packages"
    field = browser.find("#words")
    for letter in "learning trial":
        field.send_keys(letter)
    browser.until("return document.getElementById('count').textContent.includes(' of ')")
    # Each letter is answered by itself, from the few rows in sight; docs/audit.md has the times.
    answered = "return performance.getEntriesByName('explint-filter').length"
    assert browser.run(answered) > len("learning trial")
    assert len(browser.rows()) < 60
    browser.assert_quiet()
