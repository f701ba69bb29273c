// Talks to the service: requests with photos, and a socket for a camera's frames.

import { Refusal, told } from "./refusal.js";

const WAITS = [500, 1000, 2000, 4000];
const PATIENCE = 2000; // milliseconds
const FINAL = [401, 403, 421, 501];
let key = "";

export function useKey(given) {
  key = given;
}

export async function about() {
  return told(await fetch("v1/info"));
}

export async function predict(file, tasks) {
  const form = new FormData();
  form.append("photos", file, file.name || "photo");
  const query = tasks.map((task) => `tasks=${task}`).join("&");
  const headers = key ? { "X-API-Key": key } : {};
  for (let attempt = 0; ; attempt += 1) {
    const answer = await fetch(`v1/predict?${query}`, { method: "POST", body: form, headers });
    if (answer.status !== 503 || attempt === WAITS.length) return (await told(answer)).photos[0];
    await new Promise((done) => setTimeout(done, WAITS[attempt]));
  }
}

// A browser does not say why a socket was refused: the same address answers that to a request.
async function whyRefused() {
  const headers = key ? { "X-API-Key": key } : {};
  try {
    await told(await fetch("v1/stream", { headers, signal: AbortSignal.timeout(PATIENCE) }));
  } catch (error) {
    return error instanceof Refusal ? { status: error.status, detail: error.message } : undefined;
  }
  return undefined;
}

// A socket that comes back when it is lost. One frame is under way at a time.
export class Stream {
  constructor(tasks, hears) {
    this.tasks = tasks;
    this.hears = hears; // answer(found), lost(problem if it was told), refused(problem)
    this.ready = false;
    this.closed = false;
    this.attempt = 0;
    this.open();
  }

  open() {
    clearTimeout(this.timer);
    const address = new URL("v1/stream", document.baseURI);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    this.socket?.close();
    const socket = new WebSocket(address);
    this.socket = socket;
    this.problem = undefined;
    this.opened = false;
    socket.onopen = () => {
      if (socket !== this.socket) return socket.close();
      this.opened = true;
      socket.send(JSON.stringify(key ? { tasks: this.tasks, key } : { tasks: this.tasks }));
      this.ready = true;
    };
    socket.onmessage = ({ data }) => { if (socket === this.socket) this.take(JSON.parse(data)); };
    socket.onclose = () => { if (socket === this.socket) this.again(); };
  }

  take(found) {
    this.ready = true;
    this.problem = found.problem;
    if (!found.problem) this.attempt = 0;
    if (!this.refused()) this.hears.answer(found);
  }

  // Ends it if trying again cannot help.
  refused() {
    if (!FINAL.includes(this.problem?.status)) return false;
    this.close();
    this.hears.refused(new Refusal(this.problem));
    return true;
  }

  async again() {
    this.ready = false;
    const socket = this.socket;
    if (!this.opened && !this.closed) this.problem = await whyRefused();
    if (this.closed || socket !== this.socket || this.refused()) return;
    this.hears.lost(this.problem);
    const wait = WAITS[Math.min(this.attempt, WAITS.length - 1)];
    this.attempt += 1;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.closed || this.open(), wait);
  }

  // Gives up a socket that does not answer: it may take minutes to close.
  anew() {
    this.socket.onclose = null;
    this.socket.onmessage = null;
    this.socket.close();
    this.again();
  }

  send(frame) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(frame);
  }

  close() {
    this.closed = true;
    this.socket.close();
  }
}
