"use strict";
// Shows one student's lab. The key lives in this tab alone; what students wrote is only ever set as text.

const REFRESH_MILLISECONDS = 2000;
const STORED = "isoflop-lab-key";
const LABELS = ["Run", "State", "Model", "Tokens", "Loss", "Losses so far", "Seconds", ""];
const BOARD_MILLISECONDS = 60000;
const BOARD_LABELS = ["Rank", "Name", "Nats a token"];
const BUDGET_LABELS = ["Budget, FLOPs", "Runs", "Minimum"];
const $ = (id) => document.getElementById(id);
let timer = null, boardAt = 0;

class Refused extends Error {
  constructor(status, message) { super(message); this.status = status; }
}

async function call(path, method = "GET") {
  // Paths are relative: a practice lab's page stands below its own address.
  const answer = await fetch(path.slice(1), { method, headers: { "X-API-Key": sessionStorage.getItem(STORED) } });
  const body = await answer.json().catch(() => null);
  if (!answer.ok) throw new Refused(answer.status, String(body?.detail ?? answer.statusText));
  return body;
}

function cell(label, content, state) {
  const made = document.createElement("td");
  if (label) made.dataset.label = label;
  if (state) made.dataset.state = state;
  if (content instanceof Node) made.append(content);
  else made.textContent = content;
  return made;
}

function curve(losses) {
  if (losses.length < 2) return "";
  const low = Math.min(...losses), span = Math.max(...losses) - low || 1;
  const at = losses.map((loss, i) => `${(100 * i) / (losses.length - 1)},${30 - (28 * (loss - low)) / span}`);
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "losses");
  svg.setAttribute("viewBox", "0 0 100 32");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `losses from ${losses[0].toFixed(3)} to ${losses.at(-1).toFixed(3)}`);
  const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  line.setAttribute("points", at.join(" "));
  svg.append(line);
  return svg;
}

function lossesOf(status) {
  return status.val_losses ?? status.reason?.partial_val_losses ?? [];
}

function stateOf(status) {
  if (status.status_type !== "failed") return status.status_type;
  return status.reason.reason === "timeout" ? "failed: out of time" : `failed: ${status.reason.failure}`;
}

function cancelButton(run) {
  if (run.status.status_type !== "queued") return "";
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Cancel";
  button.setAttribute("aria-label", `Cancel run ${run.experiment_id}`);
  button.addEventListener("click", () => act(() => call(`/experiment/${run.experiment_id}/cancel`, "POST")));
  return button;
}

function row(run) {
  const { status, training_config: config } = run, losses = lossesOf(status);
  const a = config.architecture_config;
  const used = status.used_runtime_seconds;
  const values = [
    String(run.experiment_id), stateOf(status), `${a.num_hidden_layers} × ${a.hidden_size}`,
    compact(config.total_train_tokens), losses.length ? losses.at(-1).toFixed(4) : "", curve(losses),
    used === undefined ? `${seconds(config.max_runtime_seconds)} reserved` : seconds(used), cancelButton(run),
  ];
  const made = document.createElement("tr");
  made.append(...values.map((value, i) => cell(LABELS[i], value, i === 1 ? status.status_type : "")));
  return made;
}

function showRuns(runs) {
  const text = JSON.stringify(runs);
  if ($("runs").dataset.shown === text) return; // leaves the focus where it is
  const focused = document.activeElement?.getAttribute("aria-label");
  $("runs").dataset.shown = text;
  $("runs").replaceChildren(...runs.toReversed().map(row));
  if (focused) $("runs").querySelector(`[aria-label="${CSS.escape(focused)}"]`)?.focus();
  const states = ["queued", "running", "completed", "failed"];
  const counts = states.map((state) => [runs.filter((run) => run.status.status_type === state).length, state]);
  $("count").textContent = runs.length
    ? counts.filter(([n]) => n).map(([n, state]) => `${n} ${state}`).join(", ")
    : "No runs yet.";
}

// Asks for the figure only when another run has completed.
async function showFigure(runs) {
  const completed = String(runs.filter((run) => run.status.status_type === "completed").map((run) => run.experiment_id));
  if ($("figure").dataset.shown === completed) return;
  const found = completed ? await call("/isoflop") : { runs: [], budgets: [] };
  const figure = isoflopFigure(found);
  $("figure").replaceChildren(...(figure ? [figure] : []));
  $("figure").dataset.shown = completed;
  $("figure-note").hidden = found.budgets.length > 0;
  $("budgets").hidden = !found.budgets.length;
  $("budgets").tBodies[0].replaceChildren(...isoflopRows(found).map(([k, ...values]) => {
    const made = document.createElement("tr");
    made.append(...values.map((value, i) => cell(BUDGET_LABELS[i], value, "")));
    made.firstChild.className = `swatch c${k % COLOURS}`;
    return made;
  }));
  $("warnings").replaceChildren();
}

async function askFit() {
  $("ask-fit").disabled = true;
  try {
    const { n_runs, identified, warnings } = await call("/fit");
    const verdict = `${pluralize(n_runs, "completed run")}: the exponents of the parametric law are ` +
      (identified ? "identified." : "left open.");
    $("warnings").replaceChildren(...[verdict, ...warnings].map((line) => {
      const made = document.createElement("li");
      made.textContent = line;
      return made;
    }));
  } finally {
    $("ask-fit").disabled = false;
  }
}

function showBudget(budget, rules) {
  $("meter").max = budget.total_budget_seconds;
  $("meter").value = budget.used_seconds;
  $("budget").textContent = `${seconds(budget.remaining_seconds)} of ` +
    `${seconds(budget.total_budget_seconds)} seconds remain; what is queued or running counts as used.`;
  const until = rules.deadline ? ` Deadline: ${new Date(rules.deadline).toLocaleString()}.` : "";
  const unit = rules.budget_unit === "flops" ? ` A second buys ${rules.flops_per_second} FLOPs.` : "";
  $("rules").textContent = `The final run may cost ${seconds(rules.target_seconds)} seconds.${unit}${until}`;
}

function showFinal(final) {
  $("final").textContent = final
    ? `Predicted loss ${Number(final.predicted_final_loss.toFixed(4))} with ${compact(final.training_config.total_train_tokens)} ` +
      `tokens, submitted ${new Date(final.submitted_at).toLocaleString()}.`
    : "None yet: POST /final_submission.";
}

// Looked for after the deadline, until it is there.
async function showBoard(rules) {
  if (!$("board").hidden || !rules.deadline || new Date(rules.deadline) > new Date()) return;
  if (Date.now() < boardAt) return;
  boardAt = Date.now() + BOARD_MILLISECONDS;
  const found = await call("/leaderboard").catch((error) => {
    if (error.status === 403 || error.status === 404) return null;
    throw error;
  });
  if (!found) return;
  $("places").replaceChildren(...found.places.map((place) => {
    const made = document.createElement("tr");
    const values = [String(place.rank), place.is_you ? `${place.name} (you)` : place.name, place.value.toFixed(4)];
    made.append(...values.map((value, i) => cell(BOARD_LABELS[i], value, "")));
    if (place.is_you) made.className = "you";
    return made;
  }));
  $("board").hidden = false;
}

function complain(error) {
  $("problem").textContent = error.status === 401 ? "This key is not known: check its eight digits."
    : error.status ? error.message : "The lab cannot be reached; this page goes on trying.";
  $("problem").hidden = false;
}

async function refresh() {
  const [rules, budget, runs, final] = await Promise.all(
    ["/lab", "/budget", "/experiments", "/final_submission"].map((path) => call(path)));
  showBudget(budget, rules);
  showRuns(runs);
  await showFigure(runs);
  showFinal(final);
  await showBoard(rules);
  $("problem").hidden = true;
  $("login").hidden = true;
  $("lab").hidden = false;
}

function leave() {
  sessionStorage.removeItem(STORED);
  $("lab").hidden = true;
  $("board").hidden = true;
  boardAt = 0;
  $("login").hidden = false;
  $("key").value = "";
  $("key").focus();
}

async function act(what) {
  clearTimeout(timer);
  try {
    await what();
    await refresh();
  } catch (error) {
    complain(error);
    if (error.status === 401) leave();
  }
  if (sessionStorage.getItem(STORED)) timer = setTimeout(() => act(() => {}), REFRESH_MILLISECONDS);
}

$("login").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(STORED, $("key").value.trim());
  act(() => {});
});
$("ask-fit").addEventListener("click", () => act(askFit));
$("leave").addEventListener("click", () => { clearTimeout(timer); leave(); });
if (sessionStorage.getItem(STORED)) act(() => {});
else $("key").focus();
