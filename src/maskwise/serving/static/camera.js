// One's own camera: boxes over the picture, and a line for each person.

import { chip, drawBoxes, label } from "./draw.js";
import { fail, page, part, tasks, tell } from "./shared.js";
import { started, Watch } from "./watch.js";
import { peopleWords, say } from "./words.js";

let watch;
let shown;

export function startCamera() {
  const overlay = part("camera-overlay");
  watch = new Watch(part("camera-video"), {
    seen: (found) => { tell(null); show(found, overlay); },
    blind: (words) => { tell(words); overlay.width = 0; list([]); },
    refused: fail,
    ended: () => {
      overlay.width = 0;
      list([]);
      wordButton();
    },
  });
  part("camera-start").addEventListener("click", toggle);
}

export function stopCamera() {
  watch.stop();
}

export function wordButton() {
  part("camera-start").textContent = say(watch.running ? "stop" : "start");
}

async function toggle() {
  if (watch.running) return watch.stop();
  await started(part("camera-start"), watch.start(tasks(), part("camera-device").value), part("camera-device"));
  return wordButton();
}

function show(found, overlay) {
  [overlay.width, overlay.height] = found.size;
  const people = found.people.map((person) => ({
    ...person,
    state: person.state ?? "checking",
    label: label(person.state ?? "checking", say("person", { number: person.number })),
  }));
  drawBoxes(overlay, people);
  list(people.map((person) => [person.state, person.label, peopleWords(person, page.boundaries)]));
}

// The list changes only where its words do, so that screen readers are not flooded.
function list(lines) {
  const wanted = JSON.stringify(lines);
  if (shown === wanted) return;
  shown = wanted;
  part("camera-people").replaceChildren(...lines.map(([state, words, more]) => {
    const line = document.createElement("li");
    line.append(chip(state, words), more);
    return line;
  }));
}
