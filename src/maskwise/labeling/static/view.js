// Draws a photo and what is known of it.

import { ACTIONS, LABEL_KEYS, OTHERS } from "./keys.js";
import { picture } from "./server.js";

const byId = (id) => document.getElementById(id);

export function make(name, attributes = {}, ...children) {
  const element = Object.assign(document.createElement(name), attributes);
  element.append(...children);
  return element;
}

const words = (word) => (word === null || word === undefined ? "unknown" : String(word).replaceAll("_", " "));

export function drawPhoto(photo) {
  const image = byId("large");
  byId("gone").hidden = true;
  image.hidden = false;
  image.onerror = () => { image.hidden = true; byId("gone").hidden = false; };
  image.src = picture(photo, "large");
  image.alt = `Photo of person ${photo.person}, labelled ${Object.values(photo.labels).map(words).join(", ")}`;
  byId("photo-name").textContent = `${photo.name.split("/").at(-1)}, person ${photo.person}`;
  const manifest = Object.keys(photo.labels).filter((name) => photo.labels[name] !== photo.old[name]).map((name) => `${words(name)} ${words(photo.old[name])}`);
  const differs = manifest.length ? ` The manifest says ${manifest.join(", ")}.` : "";
  byId("photo-state").textContent = (photo.state === "open" ? "Nobody has decided yet." : `State: ${photo.state}.`) + differs;
  byId("findings").replaceChildren(...photo.findings.map(drawFinding));
  const surest = photo.findings.find((finding) => Object.keys(finding.fixes).length);
  const together = new Set((surest?.others ?? []).map((other) => other.id));
  byId("related").replaceChildren(...photo.related.map((other) => drawRelated(other, together.has(other.id))));
  byId("history").replaceChildren(...photo.history.map((event) => make("li", {
    textContent: `${event.at.slice(0, 16).replace("T", " ")} ${event.who}: ${event.action} ${changes(event.changes) || said(event)}`,
  })));
  byId("history-box").hidden = !photo.history.length;
}

function changes(made) {
  return Object.entries(made).filter(([name]) => name !== "state")
    .map(([name, [before, after]]) => `${words(name)} ${words(before)} → ${words(after)}`).join(", ");
}

// a second opinion changes nothing, but says something
function said(event) {
  return event.action === "undo" ? "" : Object.values(event.labels).filter((word) => word !== null).map(words).join(", ");
}

function drawFinding(finding) {
  const fixes = Object.entries(finding.fixes).map(([name, value]) => (
    name === "photo" ? "take out" : `${words(name)} → ${value ? words(value) : "unknown"}`));
  const others = finding.others.filter((other) => Object.keys(other.fixes).length).length;
  const more = others ? ` (and ${others} other photo${others > 1 ? "s" : ""} with it)` : "";
  const text = fixes.length ? `Suggested: ${fixes.join(", ")}${more}` : "Nothing is suggested.";
  return make("div", { className: "finding" },
    make("p", {}, make("strong", { textContent: words(finding.kind) }), ` ${finding.score.toFixed(2)}: ${finding.reason}`),
    make("p", { textContent: text }));
}

function drawRelated(photo, together) {
  const labels = [photo.labels.mask, photo.labels.gender, photo.labels.age_group].map(words).join(", ");
  const button = make("button", { type: "button" }, make("img", { src: picture(photo, "small"), alt: "", loading: "lazy" }),
    make("span", { textContent: `${labels}${photo.state === "open" ? "" : ` (${photo.state})`}` }));
  button.dataset.photo = photo.id;
  button.classList.toggle("together", together);
  return make("li", {}, button);
}

export function drawLabels(tasks, labels, saved) {
  byId("labels").replaceChildren(...Object.entries(tasks).map(([task, names]) => make("fieldset", {},
    make("legend", { textContent: words(task) }),
    ...names.map((word, place) => {
      const button = make("button", { type: "button" }, `${words(word)} `, make("kbd", { textContent: LABEL_KEYS[task][place].toUpperCase() }));
      button.dataset.task = task;
      button.dataset.word = word;
      button.setAttribute("aria-pressed", String(labels[task] === word));
      button.classList.toggle("changed", labels[task] === word && saved[task] !== word);
      return button;
    }))));
  if (document.activeElement !== byId("age")) byId("age").value = labels.age ?? "";
}

const shown = (action) => action.shown ?? (action.key.length > 1 ? action.key : action.key.toUpperCase());

export function drawActions() {
  byId("actions").replaceChildren(...ACTIONS.map((action) => {
    const button = make("button", { type: "button" }, `${action.label} `, make("kbd", { textContent: shown(action) }));
    button.dataset.action = action.name;
    button.classList.toggle("primary", action.name === "accept");
    return button;
  }));
  const rows = [
    ...Object.entries(LABEL_KEYS).map(([task, keys]) => [keys.join(" ").toUpperCase(), `Labels of ${words(task)}`]),
    ...ACTIONS.map((action) => [shown(action), action.text]), ...OTHERS,
  ];
  byId("keys").replaceChildren(...rows.map(([key, text]) => make("tr", {}, make("td", {}, make("kbd", { textContent: key })), make("td", { textContent: text }))));
}

export function drawProgress(found, who) {
  const mine = found.people.find((person) => person.who === who);
  const open = found.states.open;
  const speed = mine?.a_minute ? `, ${mine.a_minute} a minute` : "";
  const kappas = found.agreement.filter((pair) => pair.kappa !== null).map((pair) => `${pair.first} and ${pair.second}, ${words(pair.task)}: kappa ${pair.kappa.toFixed(2)}`);
  byId("pace").textContent = `${found.photos - open} of ${found.photos} decided; you ${mine?.decisions ?? 0}${speed}`;
  byId("pace").title = kappas.join("\n");
}
