// From what a person pressed to the decisions that are sent.

const TASKS = ["mask", "gender", "age_group"];
const PERSONAL = ["gender", "age_group", "age"];
const OF_PEOPLE = ["gender", "age_group", "boundary", "inconsistent"]; // findings about all photos of a person

function changed(before, after, names) {
  return Object.fromEntries(names.filter((name) => before[name] !== after[name]).map((name) => [name, after[name]]));
}

function one(photo, action, labels = {}) {
  const asked = action === "accept" && Object.keys(labels).length ? "label" : action;
  return { photo: photo.id, version: photo.version, action: asked, labels: asked === "label" ? labels : {} };
}

// accept, wrong, skip or delete; `labels` are those on the screen
export function decisions(photo, action, labels, whole) {
  const kept = action === "accept";
  const mine = one(photo, action, kept ? changed(photo.labels, labels, [...TASKS, "age"]) : {});
  if (!whole) return [mine];
  if (!kept) return [mine, ...photo.related.filter((other) => other.state !== "deleted").map((other) => one(other, action))];
  const own = changed(photo.labels, labels, PERSONAL);
  return [mine, ...photo.related.flatMap((other) => personal(photo, other, labels, own))];
}

// Of another photo of the person: what was changed here, and gender and age group where they are known
// here. It is settled with this one unless it was found for something of its own, or somebody has
// called it wrong or taken it out.
function personal(photo, other, labels, own) {
  if (!["open", "skipped", "done"].includes(other.state)) return [];
  const known = ["gender", "age_group"].filter((name) => name in own || labels[name] !== null);
  const wanted = changed(other.labels, labels, "age" in own ? [...known, "age"] : known);
  const shared = (finding) => finding.kind === other.kind && finding.others.some((each) => each.id === other.id);
  const settled = other.kind === null || (OF_PEOPLE.includes(other.kind) && photo.findings.some(shared));
  if (settled) return other.state === "done" && !Object.keys(wanted).length ? [] : [one(other, "accept", wanted)];
  return Object.keys(wanted).length ? [{ ...one(other, "label", wanted), action: "relabel" }] : [];
}

// what the surest finding with a suggestion would have, in all its photos
export function suggestion(photo) {
  const finding = photo.findings.find((each) => Object.keys(each.fixes).length);
  if (!finding) return null;
  const others = finding.others.filter((other) => Object.keys(other.fixes).length);
  return [{ ...photo, fixes: finding.fixes }, ...others].map((each) => {
    if ("photo" in each.fixes) return one(each, "delete");
    const labels = Object.fromEntries(Object.entries(each.fixes).map(([name, value]) => [name, value || null]));
    return one(each, "label", labels);
  });
}

export function ofClass(tasks, number) {
  const parts = [Math.floor(number / 6), Math.floor(number / 3) % 2, number % 3];
  return Object.fromEntries(TASKS.map((task, place) => [task, tasks[task][parts[place]]]));
}

// an age brings its group; another group than its own takes the age away
export function withLabel(about, labels, name, value) {
  const next = { ...labels, [name]: value };
  if (next.age === null || !(name === "age" || name === "age_group")) return next;
  const group = about.tasks.age_group[about.boundaries.filter((from) => next.age >= from).length];
  if (name === "age") next.age_group = group;
  else if (next.age_group !== group) next.age = null;
  return next;
}
