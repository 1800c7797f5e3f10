"use strict";
// The live part is rendered by the server, escaped there, and exchanged here as a whole.
const live = document.getElementById("live");
const link = document.getElementById("link");
const EVERY_MS = 2000;
const MOST_MS = 30000;
let pause = EVERY_MS;
let tag = "";

function say(words, lost) {
  if (link.textContent !== words) link.textContent = words;
  link.classList.toggle("lost", lost);
}

function exchange(text) {
  const held = document.activeElement && live.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  live.replaceChildren(...new DOMParser().parseFromString(text, "text/html").body.childNodes);
  if (held === null) return;
  for (const each of live.querySelectorAll("a")) if (each.getAttribute("href") === held) return each.focus();
}

async function look() {
  try {
    const reply = await fetch("/?part=main", { headers: { accept: "text/html", "if-none-match": tag }, cache: "no-store" });
    if (reply.status === 401) return say("The key is missing: load this page again.", true);
    const isPage = (reply.headers.get("content-type") || "").startsWith("text/html");
    if (isPage) exchange(await reply.text());
    else if (reply.status !== 304) throw new Error(String(reply.status));
    tag = reply.headers.get("etag") || "";
    pause = EVERY_MS;
    say("live", false);
  } catch (error) {
    pause = Math.min(MOST_MS, pause * 2);
    say("No answer; trying again in " + Math.round(pause / 1000) + " s.", true);
  }
  plan();
}

let timer = 0;
function plan() {
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(look, pause);
}

document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : look()));
say("live", false);
plan();
