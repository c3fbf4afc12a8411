"""The page in a real browser: nothing breaks, nothing spills over, charts can be read."""

import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import uvicorn

from consumer_app.services import Services
from consumer_app.web import create_app
from tests.consumer.seeds import ACCESS_CODE, CONNECTION

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not CHROMIUM.exists() and not os.environ.get("CI"), reason="no Chromium installed here"
    ),
]


@pytest.fixture
def address(services: Services, read_connection: None) -> Iterator[str]:
    # a plain loopback address carries no cookie that asks for TLS
    app = create_app(replace(services, secure_cookie=False))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join(10)


@pytest.mark.parametrize("script", [True, False])
@pytest.mark.parametrize(
    ("locale", "width", "heading"),
    [
        ("en-IN", 320, "Units per day"),
        ("hi-IN", 320, "हर दिन की यूनिट"),
        ("hi-IN", 1280, "हर दिन की यूनिट"),
    ],
)
def test_the_page_works_in_a_browser(
    address: str, locale: str, width: int, heading: str, script: bool
) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        context = browser.new_context(
            viewport={"width": width, "height": 800}, locale=locale, java_script_enabled=script
        )
        page = context.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("requestfailed", lambda request: complaints.append(request.url))
        page.goto(f"{address}/sign-in")
        page.fill("#connection", CONNECTION)
        page.fill("#code", ACCESS_CODE)
        page.click("button.primary")
        page.wait_for_url(f"**/connection/{CONNECTION}")
        page.wait_for_load_state("networkidle")
        assert page.inner_text("#days-title") == heading
        box = page.locator("main").bounding_box()
        assert box is not None
        assert box["width"] <= width
        if script:
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            page.wait_for_selector("#days-chart.enhanced canvas")
            page.hover("#load-chart .plot")
            assert "kW" in page.inner_text("#load-chart .readout")
        else:
            assert page.locator("#days-chart svg .bar").count() == 33
        page.click("#load nav a[rel=prev]")
        page.wait_for_url("**date=2026-09-16**")
        assert complaints == []
        browser.close()
