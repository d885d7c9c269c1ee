"""Keys and budgets on the page: made, changed and ended with the administrator's key, by mouse and by keyboard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.browser import NewPage
from tests.serve.gateway.conftest import put
from tests.serve.gateway.put import ASK, Put
from tests.serve.gateway.running import answer
from tests.serve.web.test_access import CONTROLS, SIZES, weak_texts
from tests.serve.web.test_layout import BEYOND, MUTE

pytestmark = pytest.mark.slow

__all__ = ["put"]
ADMIN = {"Authorization": "Bearer the-admin"}
SCRIPT = "user:<script>document.title='run'</script><img src=x onerror=document.title='run'>"
KEPT = "() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href])"


@pytest.fixture
def made(put: Callable[..., Put], monkeypatch: pytest.MonkeyPatch) -> Put:
    monkeypatch.setenv("CENTIME_ADMIN_KEY", "the-admin")
    return put(answer("Hello", 100, 2))


def asked(made: Put, method: str, path: str, body: Any = None) -> Any:
    told = made.client.request(method, f"/admin{path}", json=body, headers=ADMIN)
    assert told.is_success, told.text
    return told.json()


def entered(new_page: NewPage, made: Put, **options: Any) -> Any:
    page = new_page(f"{made.url}/#admin", **options)
    page.wait_for_selector("#admin-key")
    page.keyboard.press("Tab")
    page.fill("#admin-key", "the-admin")
    page.keyboard.press("Enter")
    page.wait_for_selector("#new-key")
    return page


def works(made: Put, secret: str) -> bool:
    return made.post(ASK | {"max_tokens": 10}, Authorization=f"Bearer {secret}").status_code == 200


def shown_secret(page: Any) -> str:
    page.wait_for_selector("#admin-secret")
    assert page.evaluate("document.activeElement.id") == "admin-secret"
    text: str = page.inner_text("#admin-secret-value")
    return text


def test_a_key_from_its_making_to_its_end_by_keyboard(made: Put, new_page: NewPage) -> None:
    page = entered(new_page, made, permissions=["clipboard-read", "clipboard-write"])
    page.focus("#new-key")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "key-new-name"
    page.keyboard.type("alice")
    page.keyboard.press("Tab")
    page.keyboard.type("acme/research")
    page.keyboard.press("Tab")
    page.keyboard.type("$1")
    page.keyboard.press("Enter")
    first = shown_secret(page)
    assert works(made, first)
    page.click("#admin-secret .row button >> nth=0")
    page.wait_for_function("() => document.querySelector('#admin-secret .row button').textContent === 'Copied'")
    assert page.evaluate("navigator.clipboard.readText()") == first
    page.click("#admin-secret-done")
    assert first not in page.content()

    page.click('[id="change:alice"]')
    page.fill("#key-alice-add_budget", "$2")
    page.fill("#key-alice-requests_per_minute", "7")
    page.fill("#key-alice-expires", "2100-01-31")
    page.keyboard.press("Enter")
    page.wait_for_selector("#keys .fine:has-text('7 a minute')")
    key = asked(made, "GET", "/keys/alice")
    assert (key["topped_up"], key["place"], key["requests_per_minute"], key["expires"]) == (
        "3", "acme/research", 7, 4105036800,
    )  # fmt: skip

    page.click('[id="change:alice"]')
    assert page.input_value("#key-alice-expires") == "2100-01-31"
    page.fill("#key-alice-expires", "")
    page.fill("#key-alice-requests_per_minute", "")
    page.keyboard.press("Enter")
    page.wait_for_selector("#keys .fine:not(:has-text('7 a minute'))")
    key = asked(made, "GET", "/keys/alice")
    assert (key["requests_per_minute"], key["expires"], key["topped_up"]) == (None, None, "3")

    page.click('[id="rotate:alice"]')
    page.fill("#rotate-alice-overlap_seconds", "0")
    page.keyboard.press("Enter")
    second = shown_secret(page)
    assert (works(made, first), works(made, second)) == (False, True)
    page.click("#admin-secret-done")
    page.click('[id="revoke:alice"]')
    page.click("#revoke-alice .main")
    page.wait_for_selector("summary:has-text('Revoked: 1')")
    assert not works(made, second)
    everything = page.content() + page.evaluate(KEPT)
    assert not any(one in everything for one in (first, second, "the-admin"))
    page.reload()
    page.wait_for_selector("#admin-key")


def test_budgets_and_what_is_wrong_beside_its_field_at_390_pixels_in_french(made: Put, new_page: NewPage) -> None:
    asked(made, "POST", "/keys", {"name": "alice", "place": "acme/research"})
    asked(made, "POST", "/budgets", {"target": SCRIPT, "amount": "$2", "per": "day", "hard": False})
    page = entered(new_page, made, width=390, height=780, locale="fr-FR")
    page.click("#new-budget")
    for field, text in (("target", "a b"), ("amount", "peu"), ("zone", "Mars"), ("alerts", "300"), ("webhook", "x")):
        before = page.input_value(f"#budget-new-{field}")
        page.fill("#budget-new-target", "acme/research")
        page.fill("#budget-new-amount", "$5")
        page.fill(f"#budget-new-{field}", text)
        page.click("#budget-new .main")
        page.wait_for_selector(f"#budget-new-{field}[aria-invalid=true]")
        assert page.evaluate("document.activeElement.id") == f"budget-new-{field}"
        assert page.locator(f"#budget-new-{field}-wrong").inner_text()
        assert page.locator("#budget-new [aria-invalid]").count() == 1
        described = page.get_attribute(f"#budget-new-{field}", "aria-describedby")
        assert f"budget-new-{field}-wrong" in described.split()
        page.fill(f"#budget-new-{field}", before)
    page.fill("#budget-new-target", "acme/research")
    page.fill("#budget-new-amount", "$5")
    page.fill("#budget-new-webhook", "https://hooks.example/T/S3CRET")
    page.click("#language")  # what is typed stays
    assert page.input_value("#budget-new-target") == "acme/research"
    page.click("#language")
    assert page.evaluate(BEYOND) == [0, []]
    assert page.evaluate(MUTE) == []
    page.click("#budget-new .main")
    page.wait_for_selector("#budgets h3:has-text('acme/research')")
    assert "S3CRET" not in page.content()
    at = "budget:month:acme%2Fresearch"
    page.click(f'[id="change:{at}"]')
    page.fill(f'[id="{at}-amount"]', "$7")
    page.select_option(f'[id="{at}-hard"]', "false")
    page.keyboard.press("Tab")
    page.click(f'[id="{at}"] .main')
    page.wait_for_selector("#budgets .fine:has-text('7,00')")
    found = {one["target"]: one for one in asked(made, "GET", "/budgets")["budgets"]}
    changed = found["acme/research"]
    assert (changed["limit"], changed["hard"], changed["alerts"]) == ("7", False, [50, 80, 100])
    assert changed["webhook"] == "https://hooks.example/…"
    assert page.locator(f'h3:text-is("{SCRIPT}")').count() == 1
    assert "run" not in page.title()

    page.click('[id="change:alice"]')
    assert weak_texts(page) == []
    assert [html for html, name in page.evaluate(CONTROLS) if not name] == []
    assert [html for html, height in page.evaluate(SIZES) if height < 24] == []
    assert page.evaluate(BEYOND) == [0, []]
    page.click(f'[id="remove:{at}"]')
    page.click(f'[id="remove-{at}"] .main')
    page.wait_for_selector('[id="admin-done"]:has-text("Supprimé")')
    assert list(asked(made, "GET", "/budgets")["budgets"]) == [found[SCRIPT]]


def test_the_key_is_asked_for_and_forgotten(
    made: Put, put: Callable[..., Put], monkeypatch: pytest.MonkeyPatch, new_page: NewPage
) -> None:
    page = new_page(f"{made.url}/#admin")
    page.wait_for_selector("#admin-key")
    page.fill("#admin-key", "wrong")
    page.click("#admin-use")
    page.wait_for_selector("#admin-key-error:has-text('did not take')")
    page.fill("#admin-key", "the-admin")
    page.click("#admin-use")
    page.wait_for_selector("#new-key")
    page.click("#admin-forget")
    page.wait_for_selector("#admin-key")
    assert "the-admin" not in page.evaluate(KEPT)
    monkeypatch.delenv("CENTIME_ADMIN_KEY")
    other = put(answer("Hello", 100, 2))
    page.goto(f"{other.url}/#admin")
    page.wait_for_selector("#admin .alert:has-text('CENTIME_ADMIN_KEY')")
