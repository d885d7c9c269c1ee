// One turn of the conversation on the page: drawn from its state, again whenever the state or the language changes.

import { copyButton } from "./code.js";
import { h } from "./dom.js";
import { duration, t, whole } from "./i18n.js";
import { Growing } from "./growing.js";
import { receipt } from "./receipt.js";

const SHOWN = 4000; // characters of a prompt above what the model writes; all of it is there when it is edited

/**
 * A message of the person: {role: "user", text, mode}. `edited(text)` is called when they send it again. A text to go
 * on with (mode "text") is shown by the answer, and here only while it is edited.
 */
export class UserTurn {
  constructor(turn, { edited }) {
    this.turn = turn;
    this.edited = edited;
    this.element = h("article", { class: "turn user" });
    this.draw();
  }

  draw() {
    this.element.hidden = this.turn.mode === "text";
    if (this.element.hidden) return;
    const edit = h(
      "button",
      { type: "button", class: "quiet small", "aria-label": t("edit-label"), onclick: () => this.edit() },
      t("edit"),
    );
    this.element.replaceChildren(
      h("h2", { class: "unseen" }, t("you")),
      h("div", { class: "said" }),
      h("div", { class: "actions" }, edit),
    );
    new Growing(this.element.querySelector(".said"), "plain").show(this.turn.text);
  }

  /** The message becomes a field; Enter sends it again, Esc leaves it as it was. */
  edit() {
    const field = h("textarea", { class: "rewrite", "aria-label": t("your-message"), rows: 1 });
    field.value = this.turn.text;
    const leave = () => {
      this.draw();
      this.element.querySelector("button")?.focus();
    };
    this.element.hidden = false;
    this.element.classList.toggle("verbatim", this.turn.mode === "text");
    const text = () => (this.turn.mode === "text" ? field.value : field.value.trim()); // a text may end in blanks
    const again = () => (field.value.trim() ? this.edited(text()) : leave());
    field.addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        event.stopPropagation();
        leave();
      } else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        again();
      }
    });
    this.element.replaceChildren(
      h("h2", { class: "unseen" }, t("you")),
      field,
      h(
        "div",
        { class: "actions editing" },
        h("button", { type: "button", class: "main", onclick: again }, t("edit-send")),
        h("button", { type: "button", class: "quiet", onclick: leave }, t("cancel")),
      ),
    );
    field.focus();
    field.setSelectionRange(field.value.length, field.value.length);
  }
}

/**
 * An answer: {role: "assistant", variants, at}; a variant is {reasoning, text, usage, timing, finish, error, busy}.
 * `again()` asks for another answer, `chosen()` is told when the person turns to another one. The answer to a text
 * has that `prompt`, stands after it, and can be gone on with: `edit()`, `goOn()`.
 */
export class AnswerTurn {
  constructor(turn, { again, chosen, prompt = null, edit = null, goOn = null }) {
    Object.assign(this, { turn, again, chosen, prompt, edit, goOn });
    this.element = h("article", { class: "turn answer" });
    this.draw();
  }

  get variant() {
    return this.turn.variants[this.turn.at];
  }

  draw() {
    this.thought = null;
    this.thoughts = null;
    const grown = h("div", { class: this.prompt === null ? "prose" : "grown" });
    this.grown = new Growing(grown, this.prompt === null ? "markdown" : "plain");
    this.body = this.prompt === null ? grown : h("div", { class: "written" }, beginning(this.prompt), grown);
    this.hint = h("p", { class: "waiting" }, t("waiting"));
    this.foot = h("div", { class: "foot" });
    this.element.replaceChildren(h("h2", { class: "unseen" }, t("model")), this.body, this.hint, this.foot);
    this.update();
    this.drawFoot();
  }

  /** More text came: only what grew is drawn again. */
  update() {
    const { reasoning, text, busy } = this.variant;
    this.element.setAttribute("aria-busy", String(Boolean(busy)));
    this.element.classList.toggle("busy", Boolean(busy));
    if (reasoning) this.drawThought();
    this.hint.hidden = Boolean(text || reasoning || !busy);
    this.grown.show(text);
  }

  /** The reasoning is open while the model thinks, closed once it answers, unless the person chose otherwise. */
  drawThought() {
    const { reasoning, text, busy, thoughtSeconds, usage } = this.variant;
    if (!this.thought) {
      this.thought = h("details", { class: "thought" }, h("summary"), h("div", { class: "prose" }));
      this.thought.firstChild.addEventListener("click", () => (this.touched = true));
      this.body.before(this.thought);
      this.thoughts = new Growing(this.thought.lastChild);
    }
    const thinking = busy && !text;
    const tokens = usage?.completion_tokens_details?.reasoning_tokens;
    const time = duration(thoughtSeconds ?? 0);
    this.thought.firstChild.textContent = thinking
      ? t("thinking")
      : tokens
        ? t("thought-tokens", { time, tokens: whole(tokens) })
        : t("thought", { time });
    if (!this.touched) this.thought.open = Boolean(thinking);
    this.thoughts.show(reasoning);
  }

  /** What stands under the answer: what went wrong, the receipt, and what can be done with it. */
  drawFoot() {
    const { busy, error, finish, text, reasoning, usage, timing } = this.variant;
    this.foot.replaceChildren();
    if (busy) return;
    const note = error ?? (finish === "length" ? t("cut-length") : finish === "stopped" ? t(usage ? "stopped-estimate" : "stopped-note") : "");
    if (note) this.foot.append(h("p", { class: error ? "alert" : "note", role: error ? "alert" : null }, note));
    else if (!text && !reasoning) this.foot.append(h("p", { class: "note" }, t("no-answer")));
    this.foot.append(receipt(usage, timing) ?? "", this.actions());
  }

  actions() {
    const { text, error } = this.variant;
    const { variants, at } = this.turn;
    const turnTo = (index) => () => {
      this.turn.at = index;
      this.touched = false;
      this.draw();
      this.chosen();
      this.foot
        .querySelector(index > at ? ".next:not(:disabled), .previous" : ".previous:not(:disabled), .next")
        ?.focus();
    };
    const pager = variants.length > 1 && [
      h(
        "button",
        {
          type: "button",
          class: "quiet small previous",
          "aria-label": t("previous"),
          disabled: at === 0,
          onclick: turnTo(at - 1),
        },
        "←",
      ),
      h("span", { class: "fine" }, t("of-many", { at: at + 1, many: variants.length })),
      h(
        "button",
        {
          type: "button",
          class: "quiet small next",
          "aria-label": t("next"),
          disabled: at === variants.length - 1,
          onclick: turnTo(at + 1),
        },
        "→",
      ),
    ];
    const again =
      this.again &&
      h(
        "button",
        { type: "button", class: "quiet small again", onclick: () => this.again() },
        t(error ? "retry" : "regenerate"),
      );
    const more =
      text &&
      this.goOn &&
      h("button", { type: "button", class: "quiet small go-on", onclick: () => this.goOn() }, t("go-on"));
    const edit =
      this.edit &&
      h(
        "button",
        { type: "button", class: "quiet small", "aria-label": t("edit-label"), onclick: () => this.edit() },
        t("edit"),
      );
    const copy = text && copyButton(() => (this.prompt ?? "") + this.variant.text);
    return h("div", { class: "actions" }, more, edit, copy, again, pager);
  }
}

/** The end of a prompt, for what the model writes stands after that. */
function beginning(prompt) {
  return h("span", { class: "prompt" }, prompt.length > SHOWN ? `…${prompt.slice(-SHOWN)}` : prompt);
}
