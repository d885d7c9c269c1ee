// What the bill notes, in the language: the server writes English sentences, which are known here by their form.

import { count, duration, hours, language, money, ofDate, plain, t, whole } from "./i18n.js";

// [form of the sentence, key of its words, what is filled in]
const FORMS = [
  [/^cost assumed: priced as (\d+) vCPUs? of (.+), (\S+) per vCPU-hour$/, "note-assumed-cpu", ["vcpus", "machine", "rate"]],
  [/^cost assumed: (.+)$/, "note-assumed", ["text"]],
  [/^the price of (\S+) was (\d+) days old when it was used \(more than (\d+)\): give yours with --price '\$2\/h'$/, "note-old", ["date", "days", "most"]],
  [/^(.+?) of (.+) has no price: give one with --price '\$2\/h'$/, "note-no-price", ["time", "device"]],
  [/^several currencies: costs are not added up$/, "note-currencies", []],
  [/^energy estimated from power at full load: an upper bound for the device alone$/, "note-energy", []],
  [
    /^(\d+) (?:process was|processes were) killed: (\S+) device-seconds after the last heartbeat are estimated$/,
    "note-killed",
    ["count", "seconds"],
  ],
  [
    /^this ledger has no training of (.+); its own metrics\.jsonl and run\.json say: ([\d,]+) steps?, (\S+)(?:\s([KMBTP]))? tokens, (.+?) in the steps(?:, (\S+) up to the last of them)?(?:, on (.+))?\. For that bill .+$/,
    "note-elsewhere",
    ["run", "steps", "number", "scale", "time", "cost", "device"],
  ],
  [/^(\d+) intervals? still open: booked up to the last heartbeat$/, "note-open", ["count"]],
];

/** '$0.0408' as the language writes money; other currencies as they came. */
function rateInWords(text) {
  const amount = /^\$([\d.]+)$/.exec(text)?.[1];
  return amount ? money(Number(amount), "USD") : text;
}

const gibibytes = (text) => (language() === "fr" ? text.replace(/(\d) GiB\b/, "$1\u202fGio") : text);

/** The figures of a run's own files, as the language writes them. */
function inWords(values) {
  values.steps = whole(Number(values.steps.replaceAll(",", "")));
  values.tokens = count(Number(values.number) * 1000 ** (1 + "KMBTP".indexOf(values.scale ?? " ")));
  values.cost = values.cost ? t("note-elsewhere-cost", { cost: rateInWords(values.cost) }) : "";
  values.device = values.device ? t("note-elsewhere-device", { device: values.device }) : "";
}

/** '1m 05s', '9.3ms' or '2.5 h', as the server writes device-time, in the language. */
function deviceTime(text) {
  const [, whole, unit, rest] = /^([\d.,]+) ?(ms|s|m|h)(?: (\d+)s)?$/.exec(text) ?? [];
  if (!unit) return text;
  const value = Number(whole.replaceAll(",", ""));
  return unit === "h" ? hours(value) : duration(value * { ms: 0.001, s: 1, m: 60 }[unit] + Number(rest ?? 0));
}

/** {text, known}: the note in the language; as the server wrote it where its form is not known. */
export function noteInWords(note) {
  for (const [form, key, names] of FORMS) {
    const found = form.exec(note);
    if (!found) continue;
    const values = Object.fromEntries(names.map((name, index) => [name, found[index + 1]]));
    if (values.date) values.ofDate = ofDate(values.date);
    if (values.time) values.time = deviceTime(values.time);
    if (values.rate) values.rate = rateInWords(values.rate);
    if (values.machine) values.machine = gibibytes(values.machine);
    if (key === "note-elsewhere") inWords(values);
    if (values.seconds) values.seconds = plain(Number(values.seconds));
    return { text: t(key, values), known: true };
  }
  return { text: note, known: false };
}
