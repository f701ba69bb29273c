// Boxes, signs and charts. Each state has a colour, a sign and a word of its own.

import { say } from "./words.js";

export const STATES = ["wear", "incorrect", "not_wear"];
const SIGNS = {
  wear: "M12 1a11 11 0 1 0 0 22 11 11 0 0 0 0-22Zm-1.6 16.2L5.6 12.4l1.9-1.9 2.9 2.9 6.1-6.2 1.9 2z",
  incorrect: "M12 1.5 0.8 22h22.4zM11 9h2v7h-2zm0 8.5h2v2h-2z",
  not_wear: "M7.4 1h9.2L23 7.4v9.2L16.6 23H7.4L1 16.6V7.4zM8 6.3 6.3 8l4 4-4 4L8 17.7l4-4 4 4 1.7-1.7-4-4 4-4L16 6.3l-4 4z",
  checking: "M12 1a11 11 0 1 0 0 22 11 11 0 0 0 0-22ZM5 10.5h3v3H5zm5.5 0h3v3h-3zm5.5 0h3v3h-3z",
};
const SVG = "http://www.w3.org/2000/svg";

export function sign(state) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", SIGNS[state]);
  path.setAttribute("fill", "currentColor");
  path.setAttribute("fill-rule", "evenodd");
  svg.append(path);
  return svg;
}

export function chip(state, words) {
  const part = document.createElement("span");
  part.className = `chip ${state}`;
  part.append(sign(state), words);
  return part;
}

export function colour(state) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${state}`).trim();
}

// Draws people's boxes over what the canvas shows; boxes are in its own pixels.
export function drawBoxes(canvas, people) {
  const pen = canvas.getContext("2d");
  const size = Math.max(canvas.width, canvas.height) / 40;
  pen.lineWidth = Math.max(size / 6, 2);
  pen.font = `600 ${Math.max(size, 12)}px system-ui, sans-serif`;
  pen.textBaseline = "bottom";
  for (const { box: [left, top, right, bottom], state, label } of people) {
    pen.strokeStyle = pen.fillStyle = colour(state);
    pen.strokeRect(left, top, right - left, bottom - top);
    const width = pen.measureText(label).width + size;
    const base = Math.max(top, size * 1.6);
    const start = Math.min(Math.max(left, 0), Math.max(canvas.width - width, 0));
    pen.fillRect(start, base - size * 1.6, width, size * 1.6);
    pen.fillStyle = colour(state === "incorrect" ? "on-incorrect" : "on-state");
    pen.fillText(label, start + size / 2, base - size / 5);
  }
}

export function label(state, number, words = "") {
  const mask = say(state);
  return [number, mask, words].filter(Boolean).join(" · ");
}

// Passes of the last minutes as stacked bars, the newest to the right.
export function drawChart(svg, passes, now, minutes = 15) {
  const columns = Array.from({ length: minutes }, () => ({ wear: 0, incorrect: 0, not_wear: 0 }));
  for (const { state, at } of passes) {
    const column = minutes - 1 - Math.floor((now - at) / 60000);
    if (column >= 0) columns[column][state] += 1;
  }
  const most = Math.max(4, ...columns.map((column) => STATES.reduce((sum, state) => sum + column[state], 0)));
  const bars = [];
  columns.forEach((column, place) => {
    let base = 85;
    for (const state of STATES) {
      const height = (80 * column[state]) / most;
      if (!height) continue;
      base -= height;
      const bar = document.createElementNS(SVG, "rect");
      Object.entries({ x: 4 + place * 19.6, y: base, width: 16, height, class: `bar-${state}` })
        .forEach(([name, value]) => bar.setAttribute(name, value));
      bars.push(bar);
    }
  });
  svg.replaceChildren(...bars);
  const total = (state) => passes.filter((one) => one.state === state).length;
  svg.setAttribute("aria-label", STATES.map((state) => `${say(state)}: ${total(state)}`).join(", "));
}
