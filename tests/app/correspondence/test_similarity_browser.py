"""The hover explorer in headless Chromium, on plain pages: mouse, keys, fingers; nothing is fetched, nothing fails."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dinoclip_viz.viz.colours import colour_map
from dinoclip_viz.viz.hover import hover_code, hover_module, hover_page, hover_payload

CHROMIUM = "/usr/bin/chromium"
FLAGS = "no-sandbox disable-gpu disable-quic disable-background-networking disable-component-update disable-sync"
pytestmark = [pytest.mark.browser, pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="Chromium is absent")]

GRIDS = ((12, 12), (6, 10), (9, 5))
BOXES = ((0, 0, 240, 240), (20, 0, 180, 100), (0, 0, 100, 180))
SIZES = ((240, 240), (200, 100), (100, 180))


@pytest.fixture(scope="module")
def patches():
    """Three grids of different shapes; neighbours are alike."""
    generator = np.random.default_rng(0)
    basis = generator.normal(size=(4, 96))
    grids = []
    for rows, columns in GRIDS:
        y, x = np.mgrid[0:rows, 0:columns]
        waves = np.stack([np.sin(x / 3), np.cos(y / 3), np.ones_like(x), x * y / (rows * columns)], axis=-1)
        grids.append(waves @ basis + 0.2 * generator.normal(size=(rows, columns, 96)))
    return grids


@pytest.fixture(scope="module")
def payload(patches):
    generator = np.random.default_rng(1)
    images = [generator.integers(0, 256, (height, width, 3), dtype=np.uint8) for width, height in SIZES]
    return hover_payload(images, patches, BOXES)


@pytest.fixture(scope="module")
def cosines(patches):
    every = np.concatenate([grid.reshape(-1, grid.shape[-1]) for grid in patches])
    unit = every / np.linalg.norm(every, axis=1, keepdims=True)
    return unit @ unit.T


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[f"--{flag}" for flag in FLAGS.split()])
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium, tmp_path):
    """Opens a page's HTML; at the end no console error and no request may have been seen."""
    contexts, asked, errors = [], [], []

    def open_page(text, **settings):
        path = tmp_path / f"page{len(contexts)}.html"
        path.write_text(text, encoding="utf-8")
        context = chromium.new_context(**{"viewport": {"width": 1000, "height": 900}, **settings})
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(path.as_uri())
        page.wait_for_function("handle.state().map.length > 0")
        settle(page)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert errors == []


def settle(page):
    """Two frames later everything asked for is painted."""
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def state(page, handle="handle"):
    found = page.evaluate(f"(() => {{ const s = {handle}.state(); return {{...s, map: [...s.map]}}; }})()")
    return {**found, "map": np.array(found["map"])}


def place(page, image, row, column, root="body"):
    """The middle of a patch in the window's pixels."""
    box = page.locator(f"{root} .box").nth(image).bounding_box()
    rows, columns = GRIDS[image]
    return box["x"] + (column + 0.5) / columns * box["width"], box["y"] + (row + 0.5) / rows * box["height"]


def number(image, row, column):
    """Of a patch, counted over all images."""
    return sum(rows * columns for rows, columns in GRIDS[:image]) + row * GRIDS[image][1] + column


def at(image, row, column):
    return {"image": image, "row": row, "column": column}


def colours(page, image):
    """(rows, columns, 3), the pixels of an image's map."""
    rows, columns = GRIDS[image]
    code = "c => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
    return np.array(page.locator(".box canvas").nth(image).evaluate(code)).reshape(rows, columns, 4)[..., :3]


def test_hovering_shows_the_cosines_over_all_images(opened, payload, cosines):
    page = opened(hover_page(payload))
    for spot in ((0, 0, 0), (0, 11, 11), (1, 2, 7), (2, 8, 1)):
        page.mouse.move(*place(page, *spot))
        settle(page)
        seen = state(page)
        assert seen["cursor"] == at(*spot)
        assert np.abs(seen["map"] - cosines[number(*spot)]).max() < 0.01
        assert f"row {spot[1] + 1}, column {spot[2] + 1}" in page.locator(".readout").inner_text()


def test_the_painted_colours_are_those_of_the_values(opened, payload):
    page = opened(hover_page(payload))
    page.mouse.move(*place(page, 1, 3, 3))
    settle(page)
    values = state(page)["map"]
    starts = np.cumsum([0, *(rows * columns for rows, columns in GRIDS)])
    for image, grid in enumerate(GRIDS):
        mine = values[starts[image] : starts[image + 1]].reshape(grid)
        assert np.abs(colours(page, image) - colour_map(mine, -0.2, 1, "magma")).max() <= 2
    before = colours(page, 0)
    page.mouse.move(*place(page, 0, 0, 11))
    settle(page)
    assert not np.array_equal(before, colours(page, 0))


def test_the_best_match_in_every_image_is_marked(opened, payload, cosines):
    page = opened(hover_page(payload))
    page.mouse.move(*place(page, 0, 4, 5))
    settle(page)
    row = cosines[number(0, 4, 5)].copy()
    row[number(0, 4, 5)] = -1
    starts = np.cumsum([0, *(rows * columns for rows, columns in GRIDS)])
    for image, (_, columns) in enumerate(GRIDS):
        part = row[starts[image] : starts[image + 1]]
        ring = page.locator(".box").nth(image).locator(".best").bounding_box()
        x, y = place(page, image, *divmod(int(part.argmax()), columns))
        assert abs(ring["x"] + ring["width"] / 2 - x) < 1 and abs(ring["y"] + ring["height"] / 2 - y) < 1
        assert f"nearest {part.max():.2f}" in page.locator("figcaption").nth(image).inner_text()


def test_a_box_keeps_the_grid_on_its_part_of_the_image(opened, payload):
    page = opened(hover_page(payload))
    stage, box = (page.locator(name).nth(1).bounding_box() for name in (".stage", ".box"))
    assert abs((box["x"] - stage["x"]) / stage["width"] - 0.1) < 0.01
    assert abs(box["width"] / stage["width"] - 0.8) < 0.01
    page.mouse.move(*place(page, 1, 0, 0))
    settle(page)
    page.mouse.click(stage["x"] + 0.05 * stage["width"], stage["y"] + 20)  # beside the grid
    settle(page)
    assert state(page)["pins"] == [] and state(page)["cursor"] == at(1, 0, 0)


def test_clicks_pin_and_the_maps_show_one_pin_the_closest_or_their_mean(opened, payload, cosines):
    page = opened(hover_page(payload))
    first, second = (0, 3, 3), (2, 7, 4)
    page.mouse.click(*place(page, *first))
    settle(page)
    assert state(page)["choice"] == 0
    page.mouse.click(*place(page, *second))
    page.mouse.move(*place(page, 1, 5, 5))
    settle(page)
    rows = cosines[[number(*first), number(*second)]]
    seen = state(page)
    assert seen["pins"] == [at(*first), at(*second)] and seen["choice"] == "highest"
    assert np.abs(seen["map"] - rows.max(axis=0)).max() < 0.01
    value = rows[:, number(1, 5, 5)].max()
    readout = page.locator(".readout").inner_text()
    assert "to the nearest pin" in readout
    assert abs(float(readout.split("similarity ")[1].split()[0].replace("−", "-")) - value) < 0.011
    page.get_by_label("all pins, their mean").check()
    settle(page)
    assert np.abs(state(page)["map"] - rows.mean(axis=0)).max() < 0.01
    page.get_by_role("radio", name="pin 2").check()
    settle(page)
    assert np.abs(state(page)["map"] - rows[1]).max() < 0.01
    page.get_by_label("Remove pin 2").click()
    settle(page)
    assert state(page)["choice"] == 0 and state(page)["pins"] == [at(*first)]
    page.mouse.click(*place(page, *first))
    settle(page)
    assert state(page)["choice"] == "cursor" and state(page)["pins"] == []


def test_what_is_outlined_is_what_a_click_pins(opened, payload):
    """A click's coordinates come rounded, those of a move do not."""
    page = opened(hover_page(payload))
    box = page.locator(".box").first.bounding_box()
    for row in range(1, 9):
        page.mouse.click(box["x"] + 0.4 * box["width"], box["y"] + row / 12 * box["height"] + 0.02)
        settle(page)
        assert state(page)["pins"][-1] == state(page)["cursor"] == at(0, row, 4)


def test_pins_end_at_eight_and_a_button_clears_them(opened, payload):
    page = opened(hover_page(payload))
    for column in range(9):
        page.mouse.click(*place(page, 0, 2, column))
    assert len(state(page)["pins"]) == 8
    assert "8 pins are the most" in page.locator("[aria-live]").inner_text()
    page.get_by_role("button", name="Clear pins").click()
    assert state(page)["pins"] == [] and page.locator(".pin").count() == 0


def test_images_do_not_move_when_pins_come(opened, payload):
    page = opened(hover_page(payload))
    before = page.locator(".stage").nth(2).bounding_box()
    for column in range(6):
        page.mouse.click(*place(page, 0, 2, column))
    assert page.locator(".stage").nth(2).bounding_box() == before


def test_fifty_quick_clicks_leave_what_they_should(opened, payload, cosines):
    page = opened(hover_page(payload))
    spots = [place(page, 0, index % 3, 5) for index in range(50)]
    for spot in spots:
        page.mouse.click(*spot)
    settle(page)
    left = [index for index in range(3) if len([n for n in range(50) if n % 3 == index]) % 2]
    assert sorted(pin["row"] for pin in state(page)["pins"]) == left
    assert np.abs(state(page)["map"] - cosines[[number(0, row, 5) for row in left]].max(axis=0)).max() < 0.01


def test_the_scale_may_be_fitted_and_the_maps_crisp_or_faint(opened, payload):
    page = opened(hover_page(payload))
    assert state(page)["range"] == [-0.2, 1]
    assert page.locator(".ticks").inner_text().split()[:2] == ["≤", "−0.20"]
    page.get_by_label("fit the scale").check()
    settle(page)
    seen = state(page)
    assert np.allclose(seen["range"], [seen["map"].min(), seen["map"].max()])
    canvas = page.locator(".box canvas").first
    page.get_by_label("smooth").uncheck()
    assert canvas.evaluate("c => getComputedStyle(c).imageRendering") == "pixelated"
    page.get_by_label("Opacity of the maps").fill("0.2")
    assert canvas.evaluate("c => getComputedStyle(c).opacity") == "0.2"


def test_keys_move_pin_and_clear(opened, payload, cosines):
    page = opened(hover_page(payload))
    page.keyboard.press("Tab")
    for key in ("ArrowRight", "ArrowDown", "ArrowDown", "Shift+ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
    settle(page)
    assert state(page)["cursor"] == at(0, 7, 2)
    live = page.locator("[aria-live]").inner_text()
    assert "row 8, column 3: similarity 1.00" in live and "image 3 nearest" in live
    ring = "s => getComputedStyle(s).outlineColor"
    assert page.locator(".stage").first.evaluate(ring) != page.locator(".stage").nth(1).evaluate(ring)
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Space")
    assert state(page)["pins"] == [at(0, 7, 2), at(0, 7, 1)]
    for _ in range(30):
        page.keyboard.press("ArrowLeft")
    page.keyboard.press("Tab")
    settle(page)
    assert state(page)["cursor"] == at(1, 3, 5)
    page.keyboard.press("Escape")
    settle(page)
    assert state(page)["pins"] == [] and "Pins cleared" in page.locator("[aria-live]").inner_text()
    assert np.abs(state(page)["map"] - cosines[number(1, 3, 5)]).max() < 0.01


def touch(session, kind, x, y):
    points = [] if kind == "touchEnd" else [{"x": x, "y": y}]
    session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


def drag(page, start, by, rest=0):
    session = page.context.new_cdp_session(page)
    touch(session, "touchStart", *start)
    page.wait_for_timeout(rest)
    for step in range(1, 11):
        touch(session, "touchMove", start[0] + by[0] * step / 10, start[1] + by[1] * step / 10)
        page.wait_for_timeout(16)
    touch(session, "touchEnd", 0, 0)
    page.wait_for_timeout(100)


@pytest.fixture
def phone(opened, payload):
    page = opened(hover_page(payload), viewport={"width": 390, "height": 500}, has_touch=True, is_mobile=True)
    return page


def test_a_tap_pins_and_a_second_tap_unpins(phone):
    spot = place(phone, 0, 4, 4)
    phone.touchscreen.tap(*spot)
    settle(phone)
    assert state(phone)["pins"] == [at(0, 4, 4)]
    phone.touchscreen.tap(*spot)
    settle(phone)
    assert state(phone)["pins"] == []


def test_a_finger_that_drags_sideways_explores_and_pins_nothing(phone):
    start, end = place(phone, 0, 4, 1), place(phone, 0, 4, 9)
    drag(phone, start, (end[0] - start[0], 3))
    assert state(phone)["cursor"] == at(0, 4, 9)
    assert state(phone)["pins"] == [] and phone.evaluate("scrollY") == 0


def test_a_finger_that_drags_up_scrolls_the_page_and_one_that_holds_explores(phone):
    drag(phone, place(phone, 0, 8, 4), (0, -120))
    phone.wait_for_timeout(500)  # what is left of the swing
    scrolled = phone.evaluate("scrollY")
    assert scrolled > 60 and state(phone)["pins"] == []
    start, end = place(phone, 0, 10, 4), place(phone, 0, 6, 4)
    drag(phone, start, (0, end[1] - start[1]), rest=450)
    assert phone.evaluate("scrollY") == scrolled
    assert state(phone)["cursor"] == at(0, 6, 4) and state(phone)["pins"] == []


@pytest.mark.parametrize("width", [390, 1000])
def test_the_page_is_never_wider_than_the_window(opened, payload, width):
    page = opened(hover_page(payload), viewport={"width": width, "height": 800})
    for column in range(8):
        page.mouse.click(*place(page, 0, 2, column))
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    tops = [page.locator(".stage").nth(index).bounding_box()["y"] for index in range(3)]
    assert (tops[2] > tops[0]) == (width == 390)


def script(code):
    return f"<!doctype html><meta charset='utf-8'><div id='one'></div><div id='two'></div><script>{code}</script>"


@pytest.fixture
def pair(opened, payload, patches):
    """Two explorers on one page; the second shows the third image alone."""
    other = hover_payload([Image.new("RGB", SIZES[2])], [patches[2]])
    safe = [each.to_json().replace("<", "\\u003c") for each in (payload, other)]
    code = (
        f"{hover_code()} const payloads = [{safe[0]}, {safe[1]}];"
        "const handle = hover.mount(document.getElementById('one'), payloads[0]);"
        "const second = hover.mount(document.getElementById('two'), payloads[1]);"
    )
    return opened(script(code))


def test_two_on_a_page_do_not_disturb_each_other(pair):
    before = state(pair, "second")
    pair.mouse.click(*place(pair, 0, 1, 1, "#one"))
    pair.locator("#one").get_by_label("fit the scale").check()
    settle(pair)
    after = state(pair, "second")
    assert after["pins"] == [] and after["cursor"] == before["cursor"] and after["range"] == before["range"]
    box = pair.locator("#two .box").bounding_box()
    pair.mouse.click(box["x"] + 3, box["y"] + 3)
    assert state(pair)["pins"] == [at(0, 1, 1)] and state(pair, "second")["pins"] == [at(0, 0, 0)]
    for root, name in (("#one", "pin 1"), ("#two", "pin 1")):
        assert pair.locator(root).get_by_role("radio", name=name).is_checked()


def test_a_newer_payload_replaces_the_older_one_whole(pair):
    pair.mouse.click(*place(pair, 0, 1, 1, "#one"))
    pair.evaluate("for (let i = 0; i < 49; i++) handle.update(payloads[(i + 1) % 2])")
    settle(pair)
    seen = state(pair)
    assert len(seen["map"]) == 45 and seen["pins"] == [] and pair.locator("#one figure").count() == 1
    same = "document.querySelector('#one > div').shadowRoot.querySelector('img').src === payloads[1].images[0].src"
    assert pair.evaluate(same)
    pair.evaluate("handle.update(null)")
    assert pair.locator("#one figure").count() == 0


def test_features_that_do_not_fit_are_told_on_the_page(pair):
    pair.evaluate("handle.update({...payloads[0], dimension: 7})")
    assert "cannot be shown" in pair.locator("#one .images").inner_text()
    pair.evaluate("handle.update(payloads[0])")
    assert pair.locator("#one figure").count() == 3


def test_what_is_removed_hears_nothing_more_and_is_freed(pair):
    pair.evaluate("window.kept = new WeakRef(second.host); second.destroy()")
    assert pair.locator("#two").inner_html() == ""
    pair.mouse.click(*place(pair, 0, 1, 1, "#one"))
    assert state(pair)["pins"] == [at(0, 1, 1)]
    listeners = "(() => { const add = EventTarget.prototype.addEventListener; const seen = [];"
    listeners += "EventTarget.prototype.addEventListener = function (...a) { if (this === window || this === document)"
    listeners += " seen.push(a[0]); return add.apply(this, a); };"
    listeners += "hover.mount(document.getElementById('two'), payloads[1]); return seen; })()"
    assert pair.evaluate(listeners) == []


def test_a_notebook_hands_bytes_and_hears_of_pins(opened, payload):
    """`render` as anywidget calls it: the module imported from a blob, a model that holds DataViews."""
    code = (
        f"const given = {payload.to_json()}, text = {json.dumps(hover_module())};"
        + """
        const view = (text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
        const state = { meta: given, features: view(given.features), scales: view(given.scales), pins: [] };
        const [heard, place] = [{}, document.getElementById("one")];
        let [saved, close, handle] = [0, null, { state: () => ({ map: close ? [1] : [] }) }];
        const model = { get: (name) => state[name], set: (name, value) => (state[name] = value),
          save_changes: () => saved++, on: (name, f) => (heard[name] = f), off: (name) => delete heard[name] };
        import(URL.createObjectURL(new Blob([text], { type: "text/javascript" })))
          .then((module) => (close = module.default.render({ model, el: place })));"""
    )
    page = opened(script(code))
    page.mouse.click(*place(page, 1, 2, 3))
    assert page.evaluate("state.pins") == [[1, 2, 3]] and page.evaluate("saved") >= 1
    page.evaluate("heard['change:meta']()")
    assert page.locator("figure").count() == 3 and page.evaluate("state.pins") == []
    assert page.evaluate("close(), [place.childElementCount, Object.keys(heard).length]") == [0, 0]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_are_legible_on_light_and_dark_pages(opened, payload, scheme):
    page = opened(hover_page(payload), color_scheme=scheme)
    ink = page.locator("figcaption").first.evaluate("e => getComputedStyle(e).color")
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    bright = [sum(map(int, colour[4:-1].split(", ")[:3])) / 3 for colour in (ink, paper)]
    assert abs(bright[0] - bright[1]) > 180 and (bright[1] < 100) == (scheme == "dark")
