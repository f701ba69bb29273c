// What the application refuses, as an error.

export class Refusal extends Error {
  constructor(problem) {
    super([problem.detail, ...(problem.errors ?? [])].join(" "));
    this.status = problem.status;
  }
}

export async function told(answer) {
  if (answer.ok) return answer.json();
  let problem = { status: answer.status, detail: answer.statusText };
  try { problem = await answer.json(); } catch { /* not a problem document */ }
  throw new Refusal(problem);
}
