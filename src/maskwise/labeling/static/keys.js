// Which key does what. Labels lie in three rows, as on the keyboard: mask, gender, age group.

export const LABEL_KEYS = { mask: ["q", "w", "e"], gender: ["a", "s"], age_group: ["z", "x", "c"] };

export const ACTIONS = [
  { name: "accept", key: "Enter", label: "Save", text: "Save: the labels as shown are right" },
  { name: "suggest", key: " ", shown: "Space", label: "Save suggestion", text: "Save what is suggested, in all photos that it is about" },
  { name: "wrong", key: "r", label: "Wrong", text: "Wrong, but what is right must be seen again" },
  { name: "skip", key: "ArrowRight", shown: "→", label: "Skip", text: "Skip: later" },
  { name: "delete", key: "Delete", shown: "Del", label: "Take out", text: "Take the photo out" },
  { name: "undo", key: "u", label: "Undo", text: "Take my last decision back" },
];

export const OTHERS = [
  ["0 to 17", "All three labels at once: the class, then saved (1 waits for a second digit, or Enter)"],
  ["P", "The whole person: gender and age go to all its photos, which are saved too unless they were found for something else"],
  ["+ − Escape", "Zoom in, out, and back; the arrows move the photo when it has the focus"],
  ["G", "Type the age in years"],
  ["?", "This list"],
];

const LABELS = new Map(Object.entries(LABEL_KEYS).flatMap(
  ([task, keys]) => keys.map((key, place) => [key, { task, place }])));

// What a key press means: {label} or {action} or {digit} or {other}; nothing where it is typed text.
export function meaning(event) {
  const typing = event.target.closest("input:not([type=checkbox]), select, textarea, dialog");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return {};
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (LABELS.has(key)) return { label: LABELS.get(key) };
  if (/^\d$/.test(key)) return { digit: key };
  // a button that has the focus is pressed by these
  if ((key === "Enter" || key === " ") && event.target.closest("button, summary, a, input")) return {};
  const found = ACTIONS.find((action) => action.key === key);
  if (found) return { action: found.name };
  return { other: key };
}
