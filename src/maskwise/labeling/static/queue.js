// The photos to come: fetched before they are asked for, so that the next one is there at once.

import { picture, take } from "./server.js";

const AHEAD = 6;

export class Queue {
  constructor(who) {
    this.who = who;
    this.filters = {};
    this.begin({});
  }

  begin(filters) {
    this.filters = filters;
    this.waiting = [];
    this.cursor = null;
    this.ended = false;
    this.filling = null;
    this.number = (this.number ?? 0) + 1; // answers to what was asked before are too late
  }

  async next() {
    if (!this.waiting.length) await this.fill();
    const photo = this.waiting.shift() ?? null;
    if (this.waiting.length < AHEAD) void this.fill().catch(() => { /* told when it is needed */ });
    return photo;
  }

  fill() {
    if (this.ended || this.waiting.length >= AHEAD) return Promise.resolve();
    this.filling ??= this.ask().finally(() => { this.filling = null; });
    return this.filling;
  }

  async ask() {
    const number = this.number;
    const count = AHEAD - this.waiting.length;
    const after = this.cursor ? { after_score: this.cursor.score, after_id: this.cursor.id } : {};
    const photos = await take("next", { ...this.filters, ...after, who: this.who, count });
    if (number !== this.number) return;
    this.ended = photos.length < count;
    this.cursor = photos.at(-1) ?? this.cursor;
    this.waiting.push(...photos);
    for (const photo of photos) {
      for (const [each, size] of [[photo, "large"], ...photo.related.map((other) => [other, "small"])]) {
        new Image().src = picture(each, size);
      }
    }
  }

  // a photo that was left for another one comes again after that
  putBack(photo) {
    if (photo && !this.waiting.some((other) => other.id === photo.id)) this.waiting.unshift(photo);
  }

  drop(photo) {
    this.waiting = this.waiting.filter((other) => other.id !== photo.id);
  }

  fits(photo) {
    const state = this.filters.state ?? "open";
    return state === "all" || photo.state === state;
  }

  // what somebody has changed meanwhile, also where it stands beside other photos
  renew(photos) {
    for (const photo of photos) {
      this.waiting = this.waiting.flatMap((other) => (other.id !== photo.id ? [other] : this.fits(photo) ? [photo] : []));
    }
    const news = new Map(photos.map((photo) => [photo.id, photo]));
    for (const other of this.waiting) {
      for (const each of [...other.related, ...other.findings.flatMap((finding) => finding.others)]) {
        const { labels, state: now, version } = news.get(each.id) ?? each;
        Object.assign(each, each.labels ? { labels, state: now, version } : { version });
      }
    }
  }

  // at the end: photos that others looked at, or that were left, may be free now
  again() {
    this.cursor = null;
    this.ended = false;
  }
}
