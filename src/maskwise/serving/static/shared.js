// What the views share: the page's state, and telling of problems.

import { say } from "./words.js";

export const page = { boundaries: [30, 60], people: false };

export const part = (id) => document.getElementById(id);

export function tell(words) {
  const box = part("problem");
  box.hidden = !words;
  box.textContent = words ?? "";
}

// Tells of what a request or a camera failed with; a missing key is asked for.
export function fail(error) {
  if (error.status === 401) {
    part("key-form").hidden = false;
    part("key").focus();
  }
  tell(say("failed", { why: error.message }));
}

export function cameraProblem(error) {
  tell(say("noCamera", { why: error.message || error.name }));
}

export function tasks() {
  return page.people ? ["mask", "gender", "age_group"] : ["mask"];
}
