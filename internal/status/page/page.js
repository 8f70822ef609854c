// The page is whole without this script. It keeps the page up to date, and
// opens a machine without loading all of it anew.
"use strict";

const wait = 1000; // milliseconds between two looks, at least
const silence = 20000; // milliseconds without a word of the server, after which it does not answer

let due = false; // something happened since the last look
let busy = false;
let heard = Date.now(); // when the server said something

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

// say tells whether what is shown is live. If it is not, that is not to be overlooked.
function say(text, fine) {
  const live = document.getElementById("live");
  live.textContent = fine ? text : text + ": what is shown is old";
  live.className = fine ? "dim" : "bad";
}

// look brings what is live up to date.
async function look() {
  if (busy || !due || document.hidden) return;
  busy = true;
  due = false;
  try {
    const page = await load("/");
    document.title = page.title;
    for (const part of ["state", ...[...page.querySelectorAll("[data-live]")].map(s => s.id)]) take(part, page);
    say("live", true);
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
  return url.origin === location.origin && url.pathname === "/" && !url.hash;
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

addEventListener("popstate", () => { if (!location.hash) open(location.pathname + location.search, false); });
document.addEventListener("visibilitychange", look);

const events = new EventSource("/api/v1/events");
for (const kind of ["events", "tick"]) {
  events.addEventListener(kind, () => { heard = Date.now(); due = true; look(); });
}
events.addEventListener("error", () => say("no connection"));
setInterval(() => { if (Date.now() - heard > silence) say("no answer"); }, wait);
