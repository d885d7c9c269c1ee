// The administrator's key, and the questions that it opens. It is in this page's memory alone: in no storage, in no
// cookie, gone with the tab or a reload.

import { ask } from "./api.js";

let secret = null;

export const isAdmin = () => secret !== null;
export const takeAdmin = (value) => (secret = value);
export const forgetAdmin = () => (secret = null);

/** The JSON of a path below /admin. Throws ServerError, whose `param` is the field that it is about. */
export async function askAdmin(path, { method = "GET", body } = {}) {
  const response = await ask(`admin/${path}`, { method, body, secret: secret ?? "" });
  return response.json();
}
