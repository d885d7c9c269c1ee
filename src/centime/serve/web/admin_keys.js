// The keys: a line of facts each, and the forms that make, change, rotate and revoke one.

import { askAdmin } from "./admin_api.js";
import { adminForm, opener } from "./admin_form.js";
import { h } from "./dom.js";
import { language, money, t, whole } from "./i18n.js";

const FILTER_FROM = 12; // keys, from which on a field finds one among them
let sought = "";

/** The form of a new key, or the button that opens it. */
export function newKey(page) {
  const at = "new-key";
  if (page.open.has(at)) return page.open.get(at);
  const make = (close) =>
    adminForm({
      id: "key-new",
      words: "admin-make",
      cancel: close,
      fields: [
        { name: "name", words: "admin-name", hint: "admin-name-hint", required: true },
        { name: "place", words: "admin-place", hint: "admin-place-hint" },
        { name: "budget", words: "admin-budget", hint: "admin-budget-hint" },
        { name: "requests_per_minute", words: "admin-minute", hint: "admin-no-limit", kind: "count" },
        { name: "concurrency", words: "admin-at-once", hint: "admin-no-limit", kind: "count" },
        { name: "price_list", words: "admin-prices", hint: "admin-prices-hint" },
        { name: "expires", words: "admin-expires", hint: "admin-expires-hint" },
      ],
      async send(body) {
        const made = await askAdmin("keys", { method: "POST", body });
        page.open.delete(at);
        await page.changed(t("admin-made", { name: made.name }), made);
      },
    });
  return h("div", { class: "row" }, opener(page, { id: at, at, words: "admin-new-key", look: "main", make }));
}

/** All keys; those that are revoked below, by name. */
export function drawKeys(page, keys) {
  const live = keys.filter((one) => one.revoked === null);
  const gone = keys.filter((one) => one.revoked !== null);
  const fits = (one) => `${one.name} ${one.place ?? ""}`.toLowerCase().includes(sought);
  const list = h("ul", { class: "entries", id: "keys" });
  const fill = () => list.replaceChildren(...live.filter(fits).map((one) => entry(page, one)));
  fill();
  return h(
    "div",
    {},
    live.length >= FILTER_FROM && finder(fill),
    live.length ? list : h("p", { class: "note" }, t("admin-no-key")),
    gone.length > 0 &&
      h(
        "details",
        {},
        h("summary", {}, t("admin-revoked", { n: whole(gone.length) })),
        h("p", { class: "fine" }, gone.map((one) => one.name).join(", ")),
      ),
  );
}

function finder(fill) {
  const find = (event) => {
    sought = event.target.value.trim().toLowerCase();
    fill();
  };
  const input = h("input", { id: "key-find", type: "search", oninput: find, autocomplete: "off" });
  input.value = sought;
  return h("p", { class: "labelled" }, h("label", { for: "key-find", "data-t": "admin-find" }), input);
}

function entry(page, key) {
  const at = `key:${key.name}`;
  const form = page.open.get(at);
  const button = (what, words, make) =>
    opener(page, { id: `${what}:${key.name}`, at, words, label: `${t(words)} ${key.name}`, make: (close) => make(page, key, at, close) });
  return h(
    "li",
    {},
    h("h3", {}, key.name),
    h("p", { class: "fine" }, facts(key).join(" · ")),
    form ??
      h(
        "div",
        { class: "row" },
        button("change", "admin-change", changing),
        button("rotate", "admin-rotate", rotating),
        button("revoke", "admin-revoke", revoking),
      ),
  );
}

function facts(key) {
  const day = (seconds) => new Intl.DateTimeFormat(language(), { dateStyle: "medium", timeZone: "UTC" }).format(seconds * 1000);
  return [
    key.place,
    key.balance === null ? t("admin-no-end") : t("admin-left", { money: money(Number(key.balance), key.currency) }),
    key.requests_per_minute && t("admin-a-minute", { n: whole(key.requests_per_minute) }),
    key.concurrency && t("admin-at-once-n", { n: whole(key.concurrency) }),
    key.requests_running > 0 && t("admin-running", { n: whole(key.requests_running) }),
    key.expires && t("admin-until", { date: day(key.expires) }),
    `…${key.hint}`,
  ].filter(Boolean);
}

const path = (key) => `keys/${encodeURIComponent(key.name)}`;
const instant = (seconds) => (seconds === null ? "" : new Date(seconds * 1000).toISOString().replace(".000Z", "Z").replace("T00:00:00Z", ""));

function changing(page, key, at, close) {
  return adminForm({
    id: `key-${key.name}`,
    words: "admin-change",
    cancel: close,
    fields: [
      ...(key.balance === null ? [] : [{ name: "add_budget", words: "admin-add", hint: "admin-add-hint" }]),
      { name: "place", words: "admin-place", hint: "admin-place-hint", value: key.place ?? "" },
      { name: "requests_per_minute", words: "admin-minute", hint: "admin-no-limit", kind: "count", value: key.requests_per_minute ?? "" },
      { name: "concurrency", words: "admin-at-once", hint: "admin-no-limit", kind: "count", value: key.concurrency ?? "" },
      { name: "expires", words: "admin-expires", hint: "admin-expires-hint", value: instant(key.expires) },
    ],
    async send(body) {
      await askAdmin(path(key), { method: "PATCH", body });
      page.open.delete(at);
      await page.changed(t("admin-changed", { name: key.name }));
    },
  });
}

function rotating(page, key, at, close) {
  return adminForm({
    id: `rotate-${key.name}`,
    words: "admin-rotate",
    cancel: close,
    fields: [{ name: "overlap_seconds", words: "admin-overlap", hint: "admin-overlap-hint", kind: "count", value: 86400 }],
    async send(body) {
      const made = await askAdmin(`${path(key)}/rotate`, { method: "POST", body });
      page.open.delete(at);
      await page.changed(t("admin-rotated", { name: key.name }), made);
    },
  });
}

function revoking(page, key, at, close) {
  const form = adminForm({
    id: `revoke-${key.name}`,
    words: "admin-revoke",
    danger: true,
    cancel: close,
    fields: [],
    async send() {
      await askAdmin(path(key), { method: "DELETE" });
      page.open.delete(at);
      await page.changed(t("admin-is-revoked", { name: key.name }));
    },
  });
  form.prepend(h("p", {}, t("admin-revoke-why", { name: key.name })));
  return form;
}
