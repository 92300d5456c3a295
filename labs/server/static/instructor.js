"use strict";
// The class at a glance. The token stands behind the address's #, which is never sent; names are only set as text.

const REFRESH_MILLISECONDS = 3000;
const UNFINISHED = ["Run", "Student", "State", "Last heartbeat", "Evaluations", "Attempt", "Seconds reserved"];
const STUDENTS = ["Student", "Spent", "Seconds used", "Remaining", "Queued, running", "Completed, failed", "Final", ""];
const ENDED = ["Run", "Student", "State", "Seconds paid", ""];
const $ = (id) => document.getElementById(id);
let asked = null;

async function call(path, body) {
  const headers = { "X-Instructor-Token": location.hash.slice(1), "Content-Type": "application/json" };
  const answer = await fetch(`instructor/${path}`, body ? { method: "POST", headers, body: JSON.stringify(body) } : { headers });
  const found = await answer.json().catch(() => null);
  if (answer.ok) return found;
  const detail = found?.detail;
  const text = Array.isArray(detail) ? detail.map((one) => `${one.loc.at(-1)}: ${one.msg}`).join("; ") : detail;
  throw Object.assign(new Error(String(text ?? answer.statusText)), { status: answer.status });
}

function row(labels, values, state) {
  const made = document.createElement("tr");
  made.append(...values.map((value, i) => {
    const cell = document.createElement("td");
    if (labels[i]) cell.dataset.label = labels[i];
    if (labels[i] === "State" && state) cell.dataset.state = state;
    if (value instanceof Node) cell.append(value);
    else cell.textContent = value;
    return cell;
  }));
  return made;
}

function meter({ used_seconds, total_budget_seconds }, student) {
  const made = document.createElement("progress");
  made.max = total_budget_seconds;
  made.value = used_seconds;
  made.setAttribute("aria-label", `budget of ${student}`);
  return made;
}

function giveButton(text, label, give) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = text;
  button.setAttribute("aria-label", label);
  button.addEventListener("click", () => openDialog(label, give));
  return button;
}

function runRow(run) {
  const beat = run.heartbeat_seconds === null ? "" : `${seconds(Math.max(0, run.heartbeat_seconds))} s ago`;
  const state = run.stuck ? `${run.state}: stuck` : run.state;
  const values = [run.experiment_id, run.student, state, beat, run.evaluations, run.attempts, seconds(run.reserved_seconds)];
  return row(UNFINISHED, values.map(String), run.stuck ? "failed" : run.state);
}

function studentRow(one) {
  const { budget_summary: budget, student } = one;
  const more = giveButton("Add seconds", `Add seconds for ${student}`, { path: "grant", body: { student }, amount: "" });
  return row(STUDENTS, [
    student, meter(budget, student), seconds(budget.used_seconds), seconds(budget.remaining_seconds),
    `${one.queued}, ${one.running}`, `${one.completed}, ${one.failed}`, one.has_final ? "handed in" : "none yet", more,
  ]);
}

function endedRow(run) {
  const give = { path: "refund", body: { experiment_id: run.experiment_id }, amount: String(run.paid_seconds) };
  const back = run.paid_seconds > 0 ? giveButton("Refund", `Refund run ${run.experiment_id} of ${run.student}`, give) : "";
  return row(ENDED, [String(run.experiment_id), run.student, run.state, seconds(run.paid_seconds), back], run.state);
}

function fill(id, rows) {
  const focused = document.activeElement?.closest(`#${id}`) && document.activeElement.getAttribute("aria-label");
  $(id).replaceChildren(...rows);
  if (focused) $(id).querySelector(`[aria-label="${CSS.escape(focused)}"]`)?.focus();
}

function show({ deadline, students, unfinished, ended }) {
  const used = students.reduce((sum, one) => sum + one.budget_summary.used_seconds, 0);
  const stuck = unfinished.filter((run) => run.stuck).length;
  const finals = students.filter((one) => one.has_final).length;
  const until = deadline ? ` Deadline: ${new Date(deadline).toLocaleString()}.` : "";
  $("summary").textContent = `${pluralize(students.length, "student")}, ${seconds(used)} seconds used; ` +
    `${pluralize(finals, "final submission")}; ${pluralize(unfinished.length, "run")} running or queued, ${stuck ? `${stuck} of them stuck: is a worker running?` : "none stuck."}${until}`;
  fill("unfinished", unfinished.map(runRow));
  fill("students", students.map(studentRow));
  fill("ended", ended.map(endedRow));
}

function openDialog(title, give) {
  asked = give;
  $("dialog-title").textContent = title;
  $("seconds").value = give.amount;
  $("reason").value = "";
  $("refused").hidden = true;
  $("dialog").showModal();
  $(give.amount ? "reason" : "seconds").focus();
}

async function give(event) {
  event.preventDefault();
  try {
    await call(asked.path, { ...asked.body, seconds: Number($("seconds").value), reason: $("reason").value });
    $("dialog").close();
    await refresh();
  } catch (error) {
    $("refused").textContent = error.message;
    $("refused").hidden = false;
  }
}

async function refresh() {
  show(await call("overview"));
  $("problem").hidden = true;
  $("class").hidden = false;
}

async function loop() {
  try {
    await refresh();
  } catch (error) {
    $("problem").textContent = error.status === 401
      ? "This address lacks the token, or it is an old one: isoflop lab serve prints the address at each start."
      : error.status ? error.message : "The lab cannot be reached; this page goes on trying.";
    $("problem").hidden = false;
    if (error.status === 401) return;
  }
  setTimeout(loop, REFRESH_MILLISECONDS);
}

$("give").addEventListener("submit", give);
$("dismiss").addEventListener("click", () => $("dialog").close());
addEventListener("hashchange", loop);
loop();
