// Talks to the application. A decision counts as saved only when the answer says so.

export class Refusal extends Error {
  constructor(problem) {
    super([problem.detail, ...(problem.errors ?? [])].join(" "));
    this.status = problem.status;
  }
}

async function told(answer) {
  if (answer.ok) return answer.json();
  let problem = { status: answer.status, detail: answer.statusText };
  try { problem = await answer.json(); } catch { /* not a problem document */ }
  throw new Refusal(problem);
}

function query(values) {
  const given = Object.entries(values).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return new URLSearchParams(given).toString();
}

export const get = async (path, values = {}) => told(await fetch(`/api/${path}?${query(values)}`));

export const post = async (path, body) => told(await fetch(`/api/${path}`, {
  method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
}));

// changes with the photo's version, so that a browser asks again after a decision only
export const picture = (photo, size) => `/api/photos/${photo.id}/${size}.jpg`;
