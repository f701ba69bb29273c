// Talks to the application. A decision counts as saved only when the answer says so.

import { told } from "../shared/refusal.js";

function query(values) {
  const given = Object.entries(values).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return new URLSearchParams(given).toString();
}

export const get = async (path, values = {}) => told(await fetch(`api/${path}?${query(values)}`));

// What is given is held for who asks, so it is no GET.
export const take = async (path, values) => told(await fetch(`api/${path}?${query(values)}`, { method: "POST" }));

export const post = async (path, body) => told(await fetch(`api/${path}`, {
  method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
}));

export const picture = (photo, size) => `api/photos/${photo.id}/${size}.jpg`;
