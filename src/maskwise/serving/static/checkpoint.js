// The door: a large verdict for each person, and a count of those who passed. No gender, no age.

import { drawBoxes, drawChart, sign, STATES } from "./draw.js";
import { fail, part, tell } from "./shared.js";
import { started, Watch } from "./watch.js";
import { say } from "./words.js";

const TONES = { wear: [660, 0.12], incorrect: [440, 0.3], not_wear: [220, 0.5] }; // hertz, seconds
let watch;
let passes = [];
let told = new Map(); // person -> the state that was told last
let sound;

export function startCheckpoint() {
  const overlay = part("check-overlay");
  watch = new Watch(part("check-video"), {
    seen: (found) => { tell(null); show(found, overlay); },
    blind: (words) => {
      tell(words);
      overlay.width = 0;
      told = new Map(); // the service counts people anew
      verdicts([], words);
    },
    refused: fail,
    ended: () => {
      overlay.width = 0;
      // those in sight have passed
      for (const state of told.values()) if (state !== "checking") passes.push({ state, at: Date.now() });
      told = new Map();
      wordCheckpoint();
    },
  });
  part("check-start").addEventListener("click", toggle);
  part("reset").addEventListener("click", () => { passes = []; count(); });
  part("full").hidden = !document.fullscreenEnabled; // phones may have none
  part("full").addEventListener("click", () => {
    if (document.fullscreenElement) document.exitFullscreen();
    else part("board").requestFullscreen().catch(() => {});
  });
  part("sound").addEventListener("change", ({ target }) => {
    sound = target.checked ? new AudioContext() : undefined;
  });
  setInterval(count, 10000); // the chart moves on
}

export function stopCheckpoint() {
  watch.stop();
}

export function wordCheckpoint() {
  part("check-start").textContent = say(watch.running ? "stop" : "start");
  if (!watch.running) verdicts([]);
  count();
}

async function toggle() {
  if (watch.running) return watch.stop();
  await started(part("check-start"), watch.start(["mask"], part("check-device").value), part("check-device"));
  return wordCheckpoint();
}

function show(found, overlay) {
  [overlay.width, overlay.height] = found.size;
  const people = found.people.map(({ number, box, state }) => ({ number, box, state: state ?? "checking" }));
  drawBoxes(overlay, people.map((person) => ({ ...person, label: say("person", { number: person.number }) })));
  verdicts(people.toSorted((one, other) => one.box[0] - other.box[0]));
  for (const { number, state } of people) {
    if (state !== "checking" && told.get(number) !== state) play(state);
    told.set(number, state);
  }
  for (const { number, state } of found.passed) {
    told.delete(number);
    passes.push({ state, at: Date.now() });
  }
  if (found.passed.length) count();
}

// Verdicts change only where a person's state does, so that screen readers are not flooded.
// Where nothing is known, `blind` says why, instead of what was last known.
function verdicts(people, blind) {
  const wall = part("verdicts");
  const wanted = people.map(({ number, state }) => `${number} ${state} ${say(state)}`).join();
  const empty = blind ? `${say("blind")} ${blind}` : say(watch.running ? "nobody" : "notStarted");
  if (wall.dataset.shown === (wanted || empty)) return;
  wall.dataset.shown = wanted || empty;
  wall.replaceChildren(...people.map(({ state }) => {
    const verdict = document.createElement("div");
    verdict.className = `verdict ${state}`;
    verdict.dataset.state = state;
    verdict.append(sign(state), say(state));
    return verdict;
  }));
  if (people.length) return;
  const nobody = document.createElement("p");
  nobody.className = blind ? "nobody blind" : "nobody";
  nobody.textContent = empty;
  wall.append(nobody);
}

function count() {
  part("counts").replaceChildren(...STATES.map((state) => {
    const line = document.createElement("div");
    line.className = state;
    const name = document.createElement("dt");
    name.append(sign(state), say(state));
    const number = document.createElement("dd");
    number.dataset.count = state;
    number.textContent = passes.filter((one) => one.state === state).length;
    line.append(name, number);
    return line;
  }));
  drawChart(part("chart"), passes, Date.now());
}

function play(state) {
  if (!sound) return;
  const [hertz, seconds] = TONES[state];
  const tone = sound.createOscillator();
  const volume = sound.createGain();
  volume.gain.setValueAtTime(0.2, sound.currentTime);
  volume.gain.exponentialRampToValueAtTime(0.001, sound.currentTime + seconds);
  tone.frequency.value = hertz;
  tone.connect(volume).connect(sound.destination);
  tone.start();
  tone.stop(sound.currentTime + seconds);
}
