// The screens of the page; one is shown at a time.

import { sizeWords, timeWords } from "./rate.js";

/** The number of files shown in a list; the others are only counted. */
const LISTED_MOST = 200;
const PARTS = ["mark", "code-part", "progress-part", "detail", "more", "local-hint"];
const ACTIONS = ["accept", "decline", "save-all", "cancel", "again"];

export const element = (id) => document.getElementById(id);

/** Show the start screen. */
export function showStart(problem = "") {
  document.body.dataset.screen = "start";
  document.title = "Files · icefloe";
  element("start").hidden = false;
  element("work").hidden = true;
  element("code-problem").textContent = problem;
  element("code-input").setAttribute("aria-invalid", String(problem !== ""));
}

/**
 * Show another screen.
 *
 * @param {string} screen "waiting", "connecting", "offer", "progress", "done" or "error"
 * @param {{title: string, lead: string, busy?: boolean, actions: string[]}} content
 */
export function show(screen, { title, lead, busy = false, actions }) {
  const isNew = document.body.dataset.screen !== screen;
  document.body.dataset.screen = screen;
  document.title = `${title} · icefloe`;
  element("start").hidden = true;
  element("work").hidden = false;
  element("title").textContent = title;
  element("lead").textContent = lead;
  element("lead").dataset.kind = busy ? "busy" : "info";
  for (const part of PARTS) element(part).toggleAttribute("hidden", true);
  for (const action of ACTIONS) element(action).hidden = !actions.includes(action);
  const again = element("again");
  again.textContent = screen === "error" ? "Start again" : "Send or receive more";
  again.className = actions.includes("save-all") ? "plain" : "primary";
  element("list").replaceChildren();
  if (isNew) element("title").focus({ preventScroll: true });
}

export function showMark(icon) {
  element("mark").hidden = false;
  element("mark-icon").setAttribute("href", icon);
}

/** Show the code, and how to receive with it. */
export function showCode(code, link, command, isLocal) {
  element("code").textContent = code;
  element("link").textContent = link;
  element("command").textContent = command;
  element("code-part").hidden = false;
  element("local-hint").hidden = !isLocal;
}

export function showDetail(text) {
  element("detail").textContent = text;
  element("detail").hidden = text === "";
}

/** @param {{name: string, size: ?number, folder?: boolean, href?: string}[]} files */
export function showList(files) {
  element("list").replaceChildren(...files.slice(0, LISTED_MOST).map(item));
  const left = files.length - LISTED_MOST;
  element("more").textContent = left > 0 ? `and ${left} more` : "";
  element("more").hidden = left <= 0;
}

function item({ name, size, folder = false, href }) {
  const li = document.createElement("li");
  li.dataset.testid = "file";
  const icon = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  icon.setAttribute("class", "icon");
  icon.setAttribute("aria-hidden", "true");
  icon.append(document.createElementNS("http://www.w3.org/2000/svg", "use"));
  icon.firstChild.setAttribute("href", folder ? "#icon-folder" : "#icon-file");
  const words = span("name", name);
  words.dir = "auto";
  words.title = name;
  li.append(icon, words);
  if (size !== null && size !== undefined) li.append(span("size", sizeWords(size)));
  if (href) {
    const link = document.createElement("a");
    link.href = href;
    link.download = name;
    link.textContent = "Save";
    link.setAttribute("aria-label", `Save ${name}`);
    li.append(link);
  }
  return li;
}

function span(className, text) {
  const made = document.createElement("span");
  made.className = className;
  made.textContent = text;
  return made;
}

/**
 * @param {{done: number, total: ?number, perSecond: ?number, name: string}} progress
 */
export function showProgress({ done, total, perSecond, name }) {
  element("progress-part").hidden = false;
  const bar = element("bar");
  if (total === null) bar.removeAttribute("value");
  else bar.value = total === 0 ? 1 : done / total;
  const percent = total === null ? "" : ` (${total === 0 ? 100 : Math.floor((done * 100) / total)} %)`;
  element("amount").textContent =
    total === null ? sizeWords(done) : `${sizeWords(done)} of ${sizeWords(total)}${percent}`;
  const words = [];
  if (perSecond !== null) words.push(`${sizeWords(Math.round(perSecond))}/s`);
  if (perSecond > 0 && total !== null && done < total) {
    words.push(`${timeWords((total - done) / perSecond)} left`);
  }
  element("rate").textContent = words.join(" · ");
  element("now").textContent = name;
}

/** @param {?{relayed: boolean, local: object}} pair the selected candidate pair, or null */
export function showPath(pair) {
  const badge = element("path");
  badge.hidden = pair === null;
  if (pair === null) return;
  badge.dataset.path = pair.relayed ? "relayed" : "direct";
  const { type, protocol, relayProtocol } = pair.local;
  badge.textContent = pair.relayed
    ? `relay, turn/${relayProtocol ?? protocol}`
    : `direct, ${type}/${protocol}`;
}
