"use strict";
// Asks for the page again and takes over what has changed. Without this script the page is the same
// and reloads itself.

const refreshMs = Number(document.body.dataset.refreshMs);
const search = document.getElementById("search");
const updated = document.getElementById("updated");
const lost = document.getElementById("lost");
const pause = document.getElementById("pause");
const narrow = document.getElementById("narrow");
// What is read aloud: what somebody has asked for, and brokers that go down or come back. Numbers that
// change by themselves are not.
const told = document.getElementById("told");
let paused = false;
let timer = 0;
let asking = 0;
let lastAnswer = new Date();

function showTime() {
  updated.textContent = `${paused ? "Paused at" : "Updated"} ${lastAnswer.toLocaleTimeString()}`;
}

// Makes `old` like `wanted` and leaves what is the same in place, so that focus, selection and
// tooltips stay. Rows are told apart by their key.
function morph(old, wanted) {
  if (old.isEqualNode(wanted)) return;
  if (old.nodeName !== wanted.nodeName) {
    old.replaceWith(wanted.cloneNode(true));
    return;
  }
  if (!(old instanceof Element)) {
    old.nodeValue = wanted.nodeValue;
    return;
  }
  for (const { name } of [...old.attributes]) {
    if (!wanted.hasAttribute(name)) old.removeAttribute(name);
  }
  for (const { name, value } of wanted.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  const key = (node) => node.dataset?.key;
  const keyed = new Map();
  for (const child of old.children) if (key(child)) keyed.set(key(child), child);
  [...wanted.childNodes].forEach((child, index) => {
    const at = old.childNodes[index] ?? null;
    const same = key(child) ? keyed.get(key(child)) : at && !key(at) ? at : undefined;
    if (!same) {
      old.insertBefore(child.cloneNode(true), at);
      return;
    }
    if (same !== at) old.insertBefore(same, at);
    morph(same, child);
  });
  while (old.childNodes.length > wanted.childNodes.length) old.lastChild.remove();
}

function brokersDown() {
  return document.querySelectorAll("li.down").length;
}

function tell(wasAsked, downBefore) {
  const down = brokersDown();
  const parts = [];
  if (down !== downBefore) parts.push(down ? `Brokers down: ${down}.` : "No broker is down any more.");
  if (wasAsked) parts.push(document.querySelector(".summary").textContent);
  if (parts.length) told.textContent = parts.join(" ");
}

async function update(wasAsked = false) {
  clearTimeout(timer);
  const number = ++asking;
  try {
    const signal = AbortSignal.timeout(10000);
    const answer = await fetch(location.href, { cache: "no-store", signal });
    if (!answer.ok) throw new Error(`it answers with ${answer.status}`);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const main = page.querySelector("main");
    if (!main) throw new Error("it answers with another page");
    // A later question is under way.
    if (number !== asking) return;
    lastAnswer = new Date();
    document.title = page.title;
    narrow.media = page.getElementById("narrow").media;
    const downBefore = brokersDown();
    morph(document.querySelector("main"), main);
    tell(wasAsked, downBefore);
    lost.hidden = true;
    document.body.classList.remove("lost");
  } catch (error) {
    if (number !== asking) return;
    if (lost.hidden) {
      const since = lastAnswer.toLocaleTimeString();
      lost.textContent = `✖ No answer from tailback since ${since}: the numbers below are old.`;
      lost.hidden = false;
      document.body.classList.add("lost");
      document.title = "no answer – tailback";
    }
  }
  showTime();
  schedule();
}

function schedule() {
  clearTimeout(timer);
  if (!paused && !document.hidden) timer = setTimeout(update, refreshMs);
}

function show(url) {
  history.pushState(null, "", url);
  update(true);
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("main a[href^='./']");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  show(link.href);
});

let typing = 0;
search.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => {
    const url = new URL(location.href);
    url.searchParams.delete("offset");
    if (search.value) url.searchParams.set("search", search.value);
    else url.searchParams.delete("search");
    history.replaceState(null, "", url);
    update(true);
  }, 150);
});

search.form.addEventListener("submit", (event) => event.preventDefault());

addEventListener("popstate", () => {
  search.value = new URL(location.href).searchParams.get("search") ?? "";
  update(true);
});

addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (document.activeElement === search) return;
  event.preventDefault();
  search.focus();
  search.select();
});

pause.addEventListener("click", () => {
  paused = !paused;
  pause.textContent = paused ? "Go on" : "Pause";
  if (paused) {
    clearTimeout(timer);
    showTime();
  } else update();
});

document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : paused || update()));

pause.hidden = false;
showTime();
schedule();
