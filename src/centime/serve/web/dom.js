// Elements without strings of HTML: what comes from a person, a model or a server is always text, never markup.

/**
 * An element: h("button", {type: "button", class: "quiet", onclick: stop}, "Stop").
 * A function is a listener, true an attribute without a value; false, null and undefined leave it out.
 * Children are nodes, texts, or lists of them; null and false are left out.
 */
export function h(tag, attributes = {}, ...children) {
  return dress(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes = {}, ...children) {
  return dress(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function dress(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const byId = (id) => document.getElementById(id);

/** What this browser keeps between visits; without storage, for as long as the page is open. */
export const kept = storage("localStorage");
/** What it keeps until the tab is closed. */
export const keptHere = storage("sessionStorage");

function storage(kind) {
  const memory = new Map();
  const real = () => {
    try {
      return window[kind];
    } catch {
      return null; // cookies and storage are forbidden
    }
  };
  return {
    get: (name) => memory.get(name) ?? real()?.getItem(`centime.${name}`) ?? null,
    set(name, value) {
      memory.set(name, value);
      try {
        real()?.setItem(`centime.${name}`, value);
      } catch {
        // full: the page goes on with what it has in memory
      }
    },
    drop(name) {
      memory.delete(name);
      real()?.removeItem(`centime.${name}`);
    },
  };
}
