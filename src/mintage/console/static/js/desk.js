// What the desk's pages need: the palette, drafts of forms, a word before what cannot be undone, a sign of waiting.
"use strict";
(() => {
  const DRAFT = "mintage:draft:";
  const BUSY_AFTER_MS = 180;
  const $ = (selector, root = document) => root.querySelector(selector);

  // -- Palette ------------------------------------------------------------------------------------------------------
  let asked = 0;
  async function find(text) {
    const turn = ++asked;
    let answer;
    try {
      answer = await fetch(`/console/search?q=${encodeURIComponent(text)}`, { headers: { "X-Palette": "1", Accept: "application/json" } });
    } catch {
      $("#palette-found").textContent = mintage.say("error.network");
      return;
    }
    if (answer.status === 401) return mintage.toTheDoor();
    const html = await answer.text();
    if (turn === asked && answer.ok) $("#palette-found").innerHTML = html; // made and escaped by the server
  }

  function openPalette() {
    const palette = $("#palette");
    if (!palette || palette.open) return;
    palette.showModal();
    const input = $("input", palette);
    input.select();
    find(input.value);
  }

  function walkPalette(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const palette = $("#palette");
    if (!palette?.open) return;
    const links = [...palette.querySelectorAll("a")];
    if (event.key === "Enter" && event.target.matches("input") && links.length) {
      event.preventDefault();
      links[0].click();
    } else if (step) {
      event.preventDefault();
      const at = links.indexOf(document.activeElement) + step;
      (at < 0 ? $("input", palette) : links[Math.min(at, links.length - 1)])?.focus();
    }
  }

  let typing = 0;
  document.addEventListener("input", (event) => {
    if (!event.target.closest("#palette")) return;
    clearTimeout(typing);
    typing = setTimeout(() => find(event.target.value), 120);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      openPalette();
    } else walkPalette(event);
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-palette]") && $("#palette")) {
      event.preventDefault();
      openPalette();
    } else if (event.target.id === "palette") event.target.close(); // beside the sheet
  });

  // -- Drafts: what is being written survives a session that ends. Never a password, never a token. ------------------
  const drafts = () => document.querySelectorAll("form[data-draft]");
  const place = (form) => `${DRAFT}${location.pathname}:${form.dataset.draft}`;
  const fieldsOf = (form) => [...form.elements].filter((field) => field.name && !["hidden", "password", "submit"].includes(field.type));

  function keep(form) {
    const values = {};
    for (const field of fieldsOf(form)) values[field.name] = field.type === "checkbox" ? field.checked : field.value;
    sessionStorage.setItem(place(form), JSON.stringify(values));
  }

  function restore(form) {
    const kept = sessionStorage.getItem(place(form));
    sessionStorage.removeItem(place(form));
    if (!kept || document.querySelector("[role=alert]")) return; // after a refusal the server has put the words back
    const values = JSON.parse(kept);
    for (const field of fieldsOf(form)) {
      if (!(field.name in values)) continue;
      if (field.type === "checkbox") field.checked = values[field.name];
      else field.value = values[field.name];
    }
    form.closest("details")?.setAttribute("open", "");
  }

  document.addEventListener("input", (event) => {
    const form = event.target.closest?.("form[data-draft]");
    if (form) keep(form);
  });

  // A page about work that runs looks, without keeping the session awake, until something has changed.
  const POLL_MS = 1500;
  async function poll() {
    const box = document.querySelector("[data-poll]");
    if (!box) return;
    try {
      const answer = await fetch(box.dataset.poll, { headers: { Accept: "application/json" } });
      if (answer.status === 401) return mintage.toTheDoor();
      const told = answer.ok ? await answer.json() : null;
      const seen = box.dataset.seen;
      box.dataset.seen = told ? `${told.state} ${told.done} ${told.message}` : seen;
      if (told && (told.state !== box.dataset.state || (seen && seen !== box.dataset.seen))) return location.reload();
    } catch { /* the server is away for a moment: look again */ }
    setTimeout(poll, POLL_MS);
  }

  // A chosen file is put into the text field that it names, so that it can be looked at before it is sent.
  document.addEventListener("change", async (event) => {
    const name = event.target.dataset?.reads;
    if (name && event.target.files[0]) event.target.form.elements[name].value = await event.target.files[0].text();
  });

  // -- Sending -------------------------------------------------------------------------------------------------------
  let waiting = 0;
  const busy = () => { waiting = setTimeout(() => { document.documentElement.dataset.busy = ""; }, BUSY_AFTER_MS); };
  const rest = () => { clearTimeout(waiting); delete document.documentElement.dataset.busy; };

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.dataset.confirm && !window.confirm(form.dataset.confirm)) {
      event.preventDefault();
      return;
    }
    if (!event.defaultPrevented && form.method !== "dialog" && !form.matches("[data-quiet]")) busy();
    if (form.method === "get") for (const field of form.elements) if (field.name && !field.value) field.disabled = true; // short addresses
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href]");
    const plain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.defaultPrevented;
    if (link && plain && link.origin === location.origin && !link.hash && !link.hasAttribute("download") && !link.hasAttribute("hx-get")) busy();
  });
  addEventListener("pageshow", () => {
    rest();
    for (const field of document.querySelectorAll("form[method=get] :disabled[name], form:not([method]) :disabled[name]")) field.disabled = false;
  });

  document.addEventListener("DOMContentLoaded", () => {
    if (document.querySelector(".flash, #secret")) { // what was sent has arrived
      for (const key of Object.keys(sessionStorage)) if (key.startsWith(DRAFT)) sessionStorage.removeItem(key);
    }
    document.querySelector("#menu nav [aria-current]")?.scrollIntoView({ block: "nearest" }); // a long rail, a low window
    poll();
    drafts().forEach(restore);
    if (location.search.includes("done=")) { // said once: not again when the page is loaded again or linked
      const address = new URL(location.href);
      address.searchParams.delete("done");
      history.replaceState(null, "", address);
    }
  });
})();
