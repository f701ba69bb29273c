// A camera that is watched: frames go to the service one at a time, answers come back.

import { Stream } from "./service.js";
import { cameraProblem, tell } from "./shared.js";
import { say } from "./words.js";

const WIDTH = 640;
const QUALITY = 0.8;
const SILENCE = 2000; // milliseconds without an answer after which what was last said is not shown any more
const DEAD = 8000; // and after which the connection is made anew

export class Watch {
  // hears: seen(found, video), blind(words): nothing is known now, refused(problem), ended()
  constructor(video, hears) {
    this.video = video;
    this.hears = hears;
    this.picture = document.createElement("canvas");
    this.media = null;
    this.turn = 0; // counts starts and stops: what began before the last one is given up
  }

  get running() {
    return this.media !== null;
  }

  async start(tasks, device) {
    this.turn += 1;
    const turn = this.turn;
    const wanted = { width: { ideal: 1280 }, ...(device ? { deviceId: { exact: device } } : { facingMode: "user" }) };
    if (!navigator.mediaDevices) throw new Error("https");
    const media = await navigator.mediaDevices.getUserMedia({ video: wanted, audio: false });
    if (turn !== this.turn) return end(media);
    this.media = media;
    for (const track of media.getTracks()) track.onended = () => this.stop();
    this.video.srcObject = media;
    try {
      await this.video.play();
    } catch (error) {
      if (turn !== this.turn) return; // it was stopped meanwhile
      this.stop();
      throw error;
    }
    if (turn !== this.turn) return;
    this.heard = performance.now();
    this.stream = new Stream(tasks, {
      answer: (found) => this.answer(found),
      lost: (problem) => this.hears.blind(say(problem?.status === 503 ? "busy" : "offline")),
      refused: (problem) => { this.stop(); this.hears.refused(problem); },
    });
    this.tick(turn);
  }

  stop() {
    this.turn += 1;
    if (!this.media) return;
    end(this.media);
    this.media = null;
    this.video.srcObject = null;
    this.stream?.close();
    this.hears.ended();
  }

  answer(found) {
    if (!this.running) return;
    this.heard = performance.now();
    const { problem } = found;
    if (!problem) this.hears.seen(found, this.video);
    else this.hears.blind(problem.status === 503 ? say("busy") : say("failed", { why: problem.detail }));
  }

  tick(turn) {
    if (turn !== this.turn) return;
    const silent = performance.now() - this.heard;
    if (silent > DEAD) {
      this.heard = performance.now() - SILENCE;
      this.stream.anew();
    } else if (silent > SILENCE) {
      this.hears.blind(say("silent"));
    }
    if (this.stream.ready && this.video.videoWidth) {
      const scale = Math.min(WIDTH / this.video.videoWidth, 1);
      this.picture.width = Math.round(this.video.videoWidth * scale);
      this.picture.height = Math.round(this.video.videoHeight * scale);
      this.picture.getContext("2d").drawImage(this.video, 0, 0, this.picture.width, this.picture.height);
      this.stream.ready = false;
      this.picture.toBlob((frame) => {
        if (turn === this.turn && frame) this.stream.send(frame);
      }, "image/jpeg", QUALITY);
    }
    requestAnimationFrame(() => this.tick(turn));
  }
}

function end(media) {
  for (const track of media.getTracks()) { track.onended = null; track.stop(); }
}

export async function fillDevices(select) {
  const devices = (await navigator.mediaDevices?.enumerateDevices() ?? []).filter((one) => one.kind === "videoinput");
  const chosen = select.value;
  select.replaceChildren(...devices.map((one, place) => {
    const name = one.label || say("cameraNumber", { number: place + 1 });
    return new Option(name, one.deviceId, false, one.deviceId === chosen);
  }));
}

// Waits for a watch to start: its button takes no second press meanwhile, then its cameras have names.
export async function started(button, starting, devices) {
  tell(null);
  button.disabled = true;
  try {
    await starting;
    await fillDevices(devices);
  } catch (error) {
    cameraProblem(error);
  } finally {
    button.disabled = false;
  }
}
