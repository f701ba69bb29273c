// The page: a photo, what is proposed, and the key that decides.

import { decisions, ofClass, suggestion, withLabel } from "./decision.js";
import { meaning } from "./keys.js";
import { Queue } from "./queue.js";
import { get, post } from "./server.js";
import { drawActions, drawLabels, drawPhoto, drawProgress, make } from "./view.js";

const byId = (id) => document.getElementById(id);
const SECOND_DIGIT = 700; // milliseconds that a 1 waits for
const PROGRESS = 5000;
let who = localStorage.getItem("maskwise-who") ?? "";
let about;
let queue;
let photo = null;
let labels = {};
let busy = false;
let digits = "";
let timer = 0;

function tell(error) {
  byId("problem").textContent = error ? `${error.message}` : "";
  byId("problem").hidden = !error;
}

function show(found) {
  photo = found;
  byId("work").hidden = !photo;
  byId("empty").hidden = Boolean(photo);
  forgetDigits();
  zoom(1);
  if (!photo) return;
  labels = { ...photo.labels };
  byId("whole").checked = false;
  drawPhoto(photo);
  drawLabels(about.tasks, labels, photo.labels);
}

function setLabel(name, value) {
  labels = withLabel(about, labels, name, value);
  drawLabels(about.tasks, labels, photo.labels);
}

// one thing at a time
async function alone(work) {
  if (busy) return;
  busy = true;
  try {
    await work();
    tell(null);
  } catch (error) {
    tell(error);
    if (error.status === 409 && photo) show(await get(`photos/${photo.id}`, { who }));
  } finally {
    busy = false;
    if (refilter) choose();
  }
}

// filters that change while something is under way count when it is done
let refilter = false;
function choose() {
  refilter = busy;
  if (!busy) void alone(begin);
}

async function send(made) {
  if (!made) throw new Error("Nothing is suggested here: save the labels as they are, or others.");
  byId("saved").textContent = "Saving …";
  let saved;
  try {
    saved = await post("decisions", { who, decisions: made });
  } catch (error) {
    byId("saved").textContent = "Not saved.";
    throw error;
  }
  const [first] = saved;
  byId("saved").textContent = `Saved: ${first.name.split("/").at(-1)} ${first.state}${saved.length > 1 ? `, and ${saved.length - 1} more` : ""}`;
  queue.renew(saved);
  show(await following());
  byId("saved").dataset.count = Number(byId("saved").dataset.count ?? 0) + 1;
  left();
}

// the end of the list is not the end of the work: others may have left photos that they held
async function following() {
  const found = await queue.next();
  if (found || queue.filters.state !== "open") return found;
  queue.again();
  return queue.next();
}

async function undo() {
  const back = await post("undo", { who });
  byId("saved").textContent = `Taken back: ${back[0].name.split("/").at(-1)}`;
  queue.renew(back);
  if (photo?.id !== back[0].id) queue.putBack(photo);
  for (const other of back.slice(1)) if (queue.fits(other)) queue.putBack(other);
  queue.drop(back[0]);
  show(back[0]);
  left();
}

const DO = {
  accept: () => send(decisions(photo, "accept", labels, byId("whole").checked)),
  wrong: () => send(decisions(photo, "wrong", labels, byId("whole").checked)),
  skip: () => send(decisions(photo, "skip", labels, byId("whole").checked)),
  delete: () => send(decisions(photo, "delete", labels, byId("whole").checked)),
  suggest: () => send(suggestion(photo)),
  undo,
};

function act(name) {
  if (photo || name === "undo") void alone(DO[name]);
}

function saveClass(number) {
  for (const [task, word] of Object.entries(ofClass(about.tasks, number))) labels = withLabel(about, labels, task, word);
  act("accept");
}

function forgetDigits() {
  clearTimeout(timer);
  digits = "";
  byId("class").value = "";
}

function typed(digit) {
  const number = Number(digits + digit);
  clearTimeout(timer);
  if (digits === "" && digit === "1") {
    digits = digit;
    byId("class").value = digit;
    timer = setTimeout(() => { digits = ""; saveClass(1); }, SECOND_DIGIT);
    return;
  }
  digits = "";
  if (number < 18) saveClass(number);
  else forgetDigits();
}

function zoom(scale) {
  const frame = byId("frame");
  const now = scale === 1 ? 1 : Math.min(Math.max(Number(frame.dataset.zoom ?? 1) * scale, 1), 8);
  frame.dataset.zoom = now;
  frame.style.setProperty("--zoom", now);
  frame.classList.toggle("zoomed", now > 1);
}

const PRESS = {
  p: () => { byId("whole").checked = !byId("whole").checked; },
  g: () => { byId("age").focus(); byId("age").select(); },
  "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5),
  Escape: () => zoom(1),
  "?": () => byId("help").showModal(),
};

document.addEventListener("keydown", (event) => {
  if (!about || !byId("name-form").hidden) return;
  if (event.target === byId("age") && (event.key === "Enter" || event.key === "Escape")) {
    event.preventDefault();
    takeAge();
    byId("frame").focus();
    return;
  }
  const { label, action, digit, other } = meaning(event);
  if (digits && !digit && action !== "accept") forgetDigits();
  if (label && busy) { /* this photo is being saved: the next one is not there yet */ }
  else if (label && photo) setLabel(label.task, about.tasks[label.task][label.place]);
  else if (digit && photo && !event.repeat) typed(digit);
  else if (action === "accept" && digits) { const number = Number(digits); forgetDigits(); saveClass(number); }
  else if (action === "skip" && event.target === byId("frame") && Number(byId("frame").dataset.zoom) > 1) return;
  else if (action && !event.repeat) act(action); // a key that is held down decides once
  else if (action) { /* no more than that */ }
  else if (other in PRESS) PRESS[other]();
  else return;
  event.preventDefault();
});

function takeAge() {
  const text = byId("age").value.trim();
  const value = text === "" ? null : Number(text);
  if (value !== null && !(Number.isInteger(value) && value >= 0 && value <= 120)) {
    tell(new Error(`The age is ${text}; expected a whole number from 0 to 120, or nothing.`));
    byId("age").value = labels.age ?? "";
    return;
  }
  setLabel("age", value);
}

function filters() {
  const [task, word] = byId("label").value.split("=");
  const found = byId("kind").value === "found";
  return { state: byId("state").value, kind: found ? "" : byId("kind").value, found: found || "", task: task ?? "", word: word ?? "", person: byId("person").value.trim() };
}

async function begin() {
  queue.begin(filters());
  show(await queue.next());
  left();
}

async function look(number) {
  const other = await get(`photos/${number}`, { who });
  queue.putBack(photo);
  queue.drop(other);
  show(other);
}

let counting = 0;
async function left() {
  const mine = (counting += 1);
  const count = await get("count", { ...queue.filters, who }).catch(() => null);
  if (mine !== counting || count === null) return;
  byId("left").textContent = `${count} left`;
  const held = !photo && count > 0 && queue.filters.state === "open";
  byId("held").hidden = !held;
  byId("empty").hidden = Boolean(photo) || held;
}

async function refresh() {
  try {
    const found = await get("progress");
    drawProgress(found, who);
    const notice = found.notice ?? "";
    if (byId("notice").textContent !== notice) byId("notice").textContent = notice; // read aloud once
    byId("notice").hidden = !notice;
  } catch { /* told at the next decision */ }
}

function fill() {
  byId("title").textContent = about.title;
  document.title = `${about.title}: labels`;
  byId("state").replaceChildren(...[...about.states, "all"].map((state) => make("option", { value: state, textContent: state })));
  const kinds = [["", "any or none"], ["found", "any"], ...Object.entries(about.kinds).map(([kind, count]) => [kind, `${kind.replaceAll("_", " ")} (${count})`])];
  byId("kind").replaceChildren(...kinds.map(([value, textContent]) => make("option", { value, textContent })));
  const words = Object.entries(about.tasks).flatMap(([task, names]) => [...names, ""].map((word) => [`${task}=${word}`, word ? word.replaceAll("_", " ") : `${task.replaceAll("_", " ")} unknown`]));
  byId("label").append(...words.map(([value, textContent]) => make("option", { value, textContent })));
  drawActions();
}

async function start() {
  byId("name-form").hidden = true;
  queue = new Queue(who);
  await begin();
  void refresh();
  setInterval(refresh, PROGRESS);
}

byId("name-form").addEventListener("submit", (event) => {
  event.preventDefault();
  who = byId("name").value.trim();
  if (!who) return;
  localStorage.setItem("maskwise-who", who);
  void alone(start);
});
byId("filters").addEventListener("change", () => { document.activeElement?.blur(); choose(); });
byId("filters").addEventListener("submit", (event) => event.preventDefault());
byId("age").addEventListener("change", takeAge);
byId("help-open").addEventListener("click", () => byId("help").showModal());
document.addEventListener("click", (event) => {
  const button = event.target.closest("button, a");
  if (button?.dataset.task) setLabel(button.dataset.task, button.dataset.word);
  else if (button?.dataset.action) { button.blur(); act(button.dataset.action); }
  else if (button?.dataset.photo) void alone(() => look(button.dataset.photo));
  else if (button?.hash) { byId("state").value = button.hash.slice(1); event.preventDefault(); choose(); }
});

void alone(async () => {
  about = await get("about");
  fill();
  if (who) await start();
  else { byId("name-form").hidden = false; byId("name").focus(); }
});
