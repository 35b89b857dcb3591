"""The page in Chromium: what a person does with it, by mouse and by keyboard."""

import importlib.util

import pytest
from tests.web.made import Histogram, encoded, person, scene
from tests.web.running import CHROMIUM, browser, served

from strongreid.web import Access, PictureFolders, create_app

if importlib.util.find_spec("playwright") is None:
    pytest.skip("playwright is not installed: pip install playwright", allow_module_level=True)
if not CHROMIUM.exists():
    pytest.skip(f"there is no {CHROMIUM}: apt-get install chromium", allow_module_level=True)

from playwright.sync_api import expect

pytestmark = pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as context:
        context.set_default_timeout(60_000)
        yield context


@pytest.fixture
def visit(chromium, gallery, pictures, tmp_path):
    """Opens the page; what it asked for and complained about is looked at in the end."""
    opened, asked, complaints, expected = [], [], [], []

    def make(access=None, complains=()):
        expected.extend(complains)
        folders = PictureFolders([pictures[0]], keep=tmp_path / "kept")
        server = served(create_app(gallery, Histogram(), access=access, folders=folders))
        address = server.__enter__()
        page = chromium.new_page()
        opened.append((server, page))
        page.on("request", lambda request: asked.append((address, request.url)))
        page.on("console", lambda message: message.type in ("error", "warning") and complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address)
        return page

    yield make
    for server, page in opened:
        page.close()
        server.__exit__(None, None, None)
    assert asked
    assert [url for address, url in asked if not url.startswith((address, "blob:" + address))] == []
    assert [text for text in complaints if not any(part in text for part in expected)] == []


def choose(page, *images):
    files = [
        {"name": f"{i}.png", "mimeType": "image/png", "buffer": encoded(image)} for i, image in enumerate(images)
    ]
    page.set_input_files("#files", files)


def cards(page):
    return [int(card.get_attribute("data-id")) for card in page.query_selector_all("#cards .card")]


def ready(page, answer):
    page.wait_for_selector(f"#answer:has-text('{answer}')")
    page.wait_for_selector("#stage:not([aria-busy])")


def test_find_filter_remove_and_it_is_gone(visit, gallery):
    page = visit()
    page.wait_for_selector("text=Who is it?")
    choose(page, person(3, camera=7))
    ready(page, "Identity 3")
    first = page.locator("#cards .card").first
    assert "Rank 1: identity 3, camera" in first.get_attribute("aria-label")
    assert page.locator(".line").count() == 1, "the line between known and unknown"
    assert page.locator("#cards li.unknown").count() == sum(
        not m.known for m in gallery.search(Histogram()([person(3, camera=7)]), top_k=24)
    )
    first.locator("img").evaluate("image => image.decode()")  # its picture is there
    page.locator("#cameras .chip", has_text="2").click()
    expect(page.locator("#cards .card")).to_have_count(8)
    assert all("camera 2" in c.get_attribute("aria-label") for c in page.query_selector_all("#cards .card"))
    wanted = cards(page)[0]
    assert gallery.entry(wanted).identity == 3
    page.locator("#cards .card").first.click()
    page.click("#detail-remove")
    page.wait_for_selector("#confirm[open]")
    assert page.evaluate("document.activeElement.textContent") == "Cancel"
    page.click("#confirm-do")
    page.wait_for_selector("text=1 entry removed.")
    expect(page.locator("#cards .card")).to_have_count(7)
    assert wanted not in cards(page)
    assert wanted not in gallery
    page.click("#compact-button")
    page.wait_for_selector("text=Compacted")
    assert gallery.info().details["removed_not_compacted"] == 0
    page.click("#view-browse")
    expect(page.locator("#cards .card")).to_have_count(7)
    page.click("#reset")
    expect(page.locator("#cards .card")).to_have_count(31)


def test_a_box_in_a_scene(visit):
    page = visit()
    image, boxes = scene([2, 5, 50])
    choose(page, image)
    page.wait_for_selector("#boxes[open]")
    left, top, width, height = boxes[1]
    place = page.locator("#canvas").bounding_box()
    scale = place["width"] / image.width
    page.mouse.move(place["x"] + left * scale, place["y"] + top * scale)
    page.mouse.down()
    page.mouse.move(place["x"] + (left + width) * scale, place["y"] + (top + height) * scale, steps=4)
    page.mouse.up()
    drawn = [int(page.input_value(f"#box-{name}")) for name in ("left", "top", "width", "height")]
    assert max(abs(a - b) for a, b in zip(drawn, boxes[1], strict=True)) <= 2
    page.click("#box-use")
    ready(page, "Identity 5")
    page.click("#asked button.crop")
    page.wait_for_selector("#boxes[open]")
    for name, value in zip(("left", "top", "width", "height"), boxes[2], strict=True):  # by keyboard
        page.fill(f"#box-{name}", str(value))
    page.click("#box-use")
    ready(page, "Unknown")


def test_by_keyboard_alone(visit):
    page = visit()
    page.wait_for_selector("text=Who is it?")
    page.keyboard.press("b")
    page.wait_for_selector("#cards .card")
    page.keyboard.press("g")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    here = page.evaluate("Number(document.activeElement.dataset.id)")
    assert here == cards(page)[2]
    page.keyboard.press("l")
    ready(page, "Identity 1")
    assert here not in cards(page), "what is looked for is left out"
    last = cards(page)[-1]
    page.keyboard.press("g")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.className") == "card"
    page.locator("#cards .card").last.focus()
    page.keyboard.press("n")
    page.wait_for_selector("#unlike li")
    page.wait_for_selector("#stage:not([aria-busy])")
    assert last not in cards(page)
    page.keyboard.press("r")
    page.wait_for_selector("#rerank:checked")
    page.keyboard.press("g")
    page.keyboard.press("Enter")
    page.wait_for_selector("#detail[open]")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    page.wait_for_selector("#help[open]")
    page.keyboard.press("Escape")
    page.keyboard.press("t")
    assert page.evaluate("document.documentElement.dataset.theme") in ("dark", "light")
    page.keyboard.press("c")
    page.wait_for_selector("text=Who is it?")


def test_an_answer_that_comes_after_all_was_cleared_is_not_drawn(visit):
    page = visit()
    held = []
    page.route("**/api/search", lambda route: held.append(route))
    choose(page, person(3))
    page.wait_for_selector("#stage[aria-busy]")
    page.wait_for_timeout(200)  # the ghosts of cards are there by now
    page.keyboard.press("c")
    page.wait_for_selector("#stage:not([aria-busy])")
    for route in held:
        route.continue_()
    page.wait_for_timeout(500)
    page.wait_for_selector("text=Who is it?")
    assert page.locator("#cards li").count() == 0
    assert page.locator("#verdict").is_hidden()


def test_enrol_export_and_what_is_refused(visit, gallery, tmp_path):
    page = visit(complains=["status of 400", "status of 415"])
    choose(page, person(60))
    ready(page, "Unknown")
    page.keyboard.press("e")
    page.wait_for_selector("#enrol[open]")
    page.fill("#enrol-identity", "60")
    page.fill("#enrol-camera", "4")
    page.fill("#enrol-time", "soon")
    page.click("#enrol-do")
    page.wait_for_selector("#enrol-problem:has-text('time is a number of seconds')")
    page.fill("#enrol-time", "2026-03-01T08:30")
    page.fill("[data-label=site]", "<b>north</b>")
    page.click("#enrol-do")
    page.wait_for_selector("text=1 entry enrolled.")
    ready(page, "Identity 60")
    assert gallery.entry(32).labels["site"] == "<b>north</b>"
    page.locator("#cards .card").first.click()
    assert page.locator("#detail-facts dd", has_text="<b>north</b>").count() == 1, "as text, not as HTML"
    page.keyboard.press("Escape")
    with page.expect_download() as download:
        page.keyboard.press("x")
    lines = (download.value.path()).read_text().splitlines()
    assert lines[0].startswith("rank,who,id,")
    assert lines[1].startswith("1,60,32,")
    page.set_input_files("#files", [{"name": "a.png", "mimeType": "image/png", "buffer": b"no picture"}])
    page.wait_for_selector("#problem:has-text('is not a JPEG, PNG, WebP or BMP picture')")


def test_the_token_is_asked_for_once(visit):
    access = Access.of("127.0.0.1", "a token of many letters")
    page = visit(access=access, complains=["status of 401"])
    page.wait_for_selector("#login[open]")
    page.fill("#token", "a wrong one, I fear")
    page.keyboard.press("Enter")
    page.wait_for_selector("#login-problem:has-text('not the token')")
    page.fill("#token", access.token)
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Who is it?")
    page.reload()
    page.wait_for_selector("text=Who is it?")
    assert access.token not in page.content()
    assert page.evaluate("document.cookie") == "", "not to be read by scripts"


@pytest.mark.parametrize("width", [360, 768])
def test_nothing_is_wider_than_a_phone(visit, width):
    page = visit()
    page.set_viewport_size({"width": width, "height": 780})
    choose(page, person(3, camera=7))
    ready(page, "Identity 3")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator("#cards .card").first.click()
    assert page.evaluate("document.getElementById('detail').getBoundingClientRect().right") <= width


def test_everything_that_can_be_pressed_has_a_name(visit):
    page = visit()
    choose(page, person(3, camera=7))
    ready(page, "Identity 3")
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, a, input, select")].filter((one) => {
            const label = one.labels?.[0]?.textContent ?? "";
            return !(one.getAttribute("aria-label") || label.trim() || one.textContent.trim());
        }).map((one) => one.outerHTML)"""
    )
    assert nameless == []
