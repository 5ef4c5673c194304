"""What every page must do in a browser: load nothing, complain of nothing, be legible, react."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def opened(browser: Any, file: Path, width: int, scheme: str) -> Iterator[Any]:
    """The page in `file`, `width` pixels wide, in the "light" or "dark" scheme."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    try:
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(file.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        heights = page.evaluate(_HEIGHTS)
        assert len(heights) > 0
        assert min(heights) > 0
        assert min(page.evaluate(_CONTRASTS)) >= 4.5
        yield page
        assert said == []
        assert [url for url in asked if not url.startswith("file:")] == []
    finally:
        page.close()


def sorts(page: Any, table: str, column: int = 0) -> None:
    """A click on a heading sorts by numbers, downwards at first; another turns it around."""
    cells = (
        f"[...document.querySelectorAll('{table} tbody tr')]"
        f".map(row => +row.cells[{column}].dataset.value)"
    )
    before = page.evaluate(cells)
    assert len(before) > 1
    page.click(f"{table} th >> nth={column} >> button")
    assert page.evaluate(cells) == sorted(before, reverse=True)
    page.click(f"{table} th >> nth={column} >> button")
    assert page.evaluate(cells) == sorted(before)


def says_what_is_near(page: Any, picture: str) -> None:
    """The first point of a picture says its text when the pointer comes near it."""
    x, y, texts = page.evaluate(_A_POINT, picture)
    page.mouse.move(x, y)
    assert page.is_visible("#tip")
    assert page.inner_text("#tip") in [text.strip() for text in texts]
    page.mouse.move(1, 1)
    assert not page.is_visible("#tip")


_HEIGHTS = "[...document.querySelectorAll('section')].map(section => section.offsetHeight)"

# Of all that has text of its own, against what is painted behind it.
_CONTRASTS = """() => {
  const light = c => {
    const [r, g, b] = c.match(/[\\d.]+/g).slice(0, 3).map(v => {
      v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; });
    return .2126 * r + .7152 * g + .0722 * b; };
  const found = [];
  for (const one of document.querySelectorAll("h1, h2, h3, p, td, th, figcaption, dt, dd, code")) {
    if (!one.textContent.trim()) continue;
    let behind = one, paint = "rgba(0, 0, 0, 0)";
    while (behind && /rgba\\(.*, 0\\)/.test(paint)) {
      paint = getComputedStyle(behind).backgroundColor; behind = behind.parentElement; }
    const [a, b] = [light(getComputedStyle(one).color), light(paint)];
    found.push((Math.max(a, b) + .05) / (Math.min(a, b) + .05)); }
  return found; }"""

_A_POINT = """name => {
  const svg = document.querySelector(`#${name} svg`);
  svg.scrollIntoView({block: "center"});
  const points = JSON.parse(svg.dataset.tips), [x, y] = points[0];
  const place = new DOMPoint(x, y).matrixTransform(svg.getScreenCTM());
  const alike = points.filter(p => Math.hypot(p[0] - x, p[1] - y) < 1);
  return [place.x, place.y, alike.map(p => p[2])]; }"""
