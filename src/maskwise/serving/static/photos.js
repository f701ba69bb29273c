// Photos that are dropped, pasted or chosen: each is answered and drawn.

import { chip, drawBoxes, label } from "./draw.js";
import { predict } from "./service.js";
import { fail, page, part, tasks, tell } from "./shared.js";
import { peopleWords, say } from "./words.js";

const OF_THE_PHOTO = [413, 415, 422]; // refusals that say nothing of the next photo
const LONGEST = 1200; // pixels of a drawn photo's longer side

export function startPhotos() {
  const drop = part("drop");
  part("files").addEventListener("change", ({ target }) => {
    answerAll([...target.files]);
    target.value = "";
  });
  for (const name of ["dragover", "dragleave", "drop"]) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", name === "dragover");
      if (name === "drop") answerAll([...event.dataTransfer.files]);
    });
  }
  document.addEventListener("paste", ({ clipboardData }) => {
    if (!part("photos").hidden) answerAll([...clipboardData.files]);
  });
}

async function answerAll(files) {
  if (!files.length) return;
  tell(null);
  part("photos-status").textContent = say("answering", { count: files.length });
  let answered = 0;
  for (const file of files) {
    try {
      const found = await predict(file, tasks());
      part("results").prepend(await card(file, found));
      answered += 1;
    } catch (error) {
      if (OF_THE_PHOTO.includes(error.status)) part("results").prepend(brokenCard(file, error.message));
      else { fail(error); break; }
    }
  }
  part("photos-status").textContent = say("answered", { count: answered });
}

function titled(file) {
  const item = document.createElement("li");
  const title = document.createElement("h3");
  title.textContent = file.name || "photo";
  item.append(title);
  return item;
}

function brokenCard(file, why) {
  const item = titled(file);
  item.append(why);
  return item;
}

async function card(file, found) {
  const item = titled(file);
  const people = found.faces.map((face, place) => ({
    box: face.box, state: face.mask, words: peopleWords(face, page.boundaries),
    number: found.faces.length > 1 ? say("person", { number: place + 1 }) : "",
  }));
  item.append(await drawn(file, found, people));
  const list = document.createElement("ul");
  list.className = "people-list";
  for (const { state, number, words } of people) {
    const line = document.createElement("li");
    line.append(chip(state, say(state)), [number, words].filter(Boolean).join(" · "));
    list.append(line);
  }
  if (!people.length) list.append(say("noFace"));
  if (found.left_out) list.append(say("leftOut", { count: found.left_out }));
  item.append(list);
  return item;
}

async function drawn(file, found, people) {
  const canvas = document.createElement("canvas");
  let picture;
  try { picture = await createImageBitmap(file); } catch { return canvas; } // a kind that browsers cannot show
  const scale = Math.min(LONGEST / Math.max(found.width, found.height), 1);
  canvas.width = Math.round(found.width * scale);
  canvas.height = Math.round(found.height * scale);
  canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
  picture.close();
  drawBoxes(canvas, people.map(({ box, state, number }) => (
    { box: box.map((edge) => edge * scale), state, label: label(state, number) })));
  return canvas;
}
