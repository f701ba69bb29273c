// A camera that is watched: frames go to the service one at a time, answers come back.

import { Stream } from "./service.js";
import { say } from "./words.js";

const WIDTH = 640;
const QUALITY = 0.8;

export class Watch {
  // hears: seen(found, video), problem(words or null), refused(problem), ended()
  constructor(video, hears) {
    this.video = video;
    this.hears = hears;
    this.picture = document.createElement("canvas");
    this.media = null;
  }

  get running() {
    return this.media !== null;
  }

  async start(tasks, device) {
    const wanted = { width: { ideal: 1280 }, ...(device ? { deviceId: { exact: device } } : { facingMode: "user" }) };
    if (!navigator.mediaDevices) throw new Error("https");
    this.media = await navigator.mediaDevices.getUserMedia({ video: wanted, audio: false });
    for (const track of this.media.getTracks()) track.onended = () => this.stop();
    this.video.srcObject = this.media;
    await this.video.play();
    this.stream = new Stream(tasks, {
      answer: (found) => this.answer(found),
      lost: () => this.hears.problem(say("offline")),
      refused: (problem) => { this.stop(); this.hears.refused(problem); },
    });
    this.tick();
  }

  stop() {
    if (!this.media) return;
    for (const track of this.media.getTracks()) { track.onended = null; track.stop(); }
    this.media = null;
    this.video.srcObject = null;
    this.stream?.close();
    this.hears.ended();
  }

  answer(found) {
    if (!this.running) return;
    if (found.problem) {
      this.hears.problem(found.problem.status === 503 ? say("busy") : say("failed", { why: found.problem.detail }));
    } else {
      this.hears.problem(null);
      this.hears.seen(found, this.video);
    }
  }

  tick() {
    if (!this.running) return;
    if (this.stream.ready && this.video.videoWidth) {
      const scale = Math.min(WIDTH / this.video.videoWidth, 1);
      this.picture.width = Math.round(this.video.videoWidth * scale);
      this.picture.height = Math.round(this.video.videoHeight * scale);
      this.picture.getContext("2d").drawImage(this.video, 0, 0, this.picture.width, this.picture.height);
      this.stream.ready = false;
      this.picture.toBlob((frame) => {
        if (this.running && frame && this.stream.socket.readyState === WebSocket.OPEN) this.stream.send(frame);
      }, "image/jpeg", QUALITY);
    }
    requestAnimationFrame(() => this.tick());
  }
}

export async function fillDevices(select) {
  const devices = (await navigator.mediaDevices?.enumerateDevices() ?? []).filter((one) => one.kind === "videoinput");
  const chosen = select.value;
  select.replaceChildren(...devices.map((one, place) => {
    const name = one.label || say("cameraNumber", { number: place + 1 });
    return new Option(name, one.deviceId, false, one.deviceId === chosen);
  }));
}
