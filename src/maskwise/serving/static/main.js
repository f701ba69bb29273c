// The page: its views, its language and colours, and what the service says of itself.

import { startCamera, stopCamera, wordButton } from "./camera.js";
import { startCheckpoint, stopCheckpoint, wordCheckpoint } from "./checkpoint.js";
import { startPhotos } from "./photos.js";
import { about, useKey } from "./service.js";
import { fail, page, part, tell } from "./shared.js";
import { fillDevices } from "./watch.js";
import { preferred, say, speak } from "./words.js";

const TABS = ["photos", "camera", "checkpoint"];
let info = { version: "" };

function choose(name) {
  stopCamera();
  stopCheckpoint();
  tell(null);
  for (const one of TABS) {
    const tab = part(`tab-${one}`);
    tab.setAttribute("aria-selected", one === name);
    tab.tabIndex = one === name ? 0 : -1;
    part(one).hidden = one !== name;
  }
}

function open(name) {
  choose(name);
  history.replaceState(null, "", `#${name}`); // a link to the view; at the start it would move the focus
  part(`tab-${name}`).focus();
}

function startTabs() {
  TABS.forEach((name, place) => {
    const tab = part(`tab-${name}`);
    tab.addEventListener("click", () => open(name));
    tab.addEventListener("keydown", ({ key }) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
      if (step) open(TABS[(place + step + TABS.length) % TABS.length]);
    });
  });
  const wanted = location.hash.slice(1);
  choose(TABS.includes(wanted) ? wanted : "photos");
}

function inLanguage(language) {
  speak(language);
  part("about").textContent = say("about", info);
  wordButton();
  wordCheckpoint();
}

function startSettings() {
  part("language").value = localStorage.getItem("language") ?? preferred();
  part("language").addEventListener("change", ({ target }) => {
    localStorage.setItem("language", target.value);
    inLanguage(target.value);
  });
  part("theme").value = localStorage.getItem("theme") ?? "auto";
  const paint = () => { document.documentElement.dataset.theme = part("theme").value; };
  part("theme").addEventListener("change", ({ target }) => {
    localStorage.setItem("theme", target.value);
    paint();
  });
  paint();
  for (const box of document.querySelectorAll(".people")) {
    box.addEventListener("change", () => {
      page.people = box.checked;
      for (const other of document.querySelectorAll(".people")) other.checked = box.checked;
      stopCamera();
    });
  }
  part("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    useKey(part("key").value);
    part("key-form").hidden = true;
    tell(null);
  });
}

async function introduce() {
  info = await about();
  page.boundaries = info.boundaries;
  part("about").textContent = say("about", info);
  for (const toggle of document.querySelectorAll(".people-toggle")) toggle.hidden = !info.people;
}

startPhotos();
startCamera();
startCheckpoint();
startSettings();
inLanguage(part("language").value);
startTabs();
fillDevices(part("camera-device"));
fillDevices(part("check-device"));
introduce().catch(fail);
