// The page is whole without this script. It keeps the page up to date, and
// opens a machine without loading all of it anew.
"use strict";

const wait = 1000; // milliseconds between two looks, at least

let due = false; // something happened since the last look
let busy = false;

// load returns a page of this server.
async function load(url) {
  const answer = await fetch(url, {headers: {Accept: "text/html"}});
  const text = await answer.text();
  if (!answer.ok) throw new Error(answer.status + " " + text);
  return new DOMParser().parseFromString(text, "text/html");
}

// take puts a part of another page in the place of ours, if it differs. What
// somebody has selected stays as it is.
function take(id, from) {
  const ours = document.getElementById(id), theirs = from.getElementById(id);
  if (!ours || !theirs || ours.innerHTML === theirs.innerHTML) return;
  const selection = getSelection();
  if (!selection.isCollapsed && ours.contains(selection.anchorNode)) return;
  const open = [...ours.querySelectorAll("details")].map(d => d.open);
  ours.replaceChildren(...theirs.childNodes);
  if (id !== "machine") ours.querySelectorAll("details").forEach((d, i) => { d.open = open[i] || false; });
}

function say(text) { document.getElementById("live").textContent = text; }

// look brings what is live up to date.
async function look() {
  if (busy || !due || document.hidden) return;
  busy = true;
  due = false;
  try {
    const page = await load("/");
    document.title = page.title;
    for (const part of ["state", ...[...page.querySelectorAll("[data-live]")].map(s => s.id)]) take(part, page);
    say("live");
  } catch (err) {
    say("no answer");
  }
  setTimeout(() => { busy = false; look(); }, wait);
}

// open shows a machine, or what fits a word.
async function open(url, remember) {
  try {
    take("machine", await load(url));
  } catch (err) {
    location.assign(url);
    return;
  }
  if (remember) history.pushState(null, "", url);
  if (url !== "/") document.getElementById("machine").scrollIntoView({block: "start"});
}

function here(url) {
  return url.origin === location.origin && url.pathname === "/";
}

document.addEventListener("click", event => {
  const link = event.target.closest("a[href]");
  if (!link || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || !here(new URL(link.href))) return;
  event.preventDefault();
  open(link.getAttribute("href"), true);
});

document.querySelector("form").addEventListener("submit", event => {
  event.preventDefault();
  const word = new FormData(event.target).get("machine").trim();
  open(word ? "/?machine=" + encodeURIComponent(word) : "/", true);
});

addEventListener("popstate", () => open(location.pathname + location.search, false));
document.addEventListener("visibilitychange", look);

const events = new EventSource("/api/v1/events");
for (const kind of ["events", "tick"]) {
  events.addEventListener(kind, () => { due = true; look(); });
}
events.addEventListener("error", () => say("no connection"));
