// Live figures: one event stream. The server sends finished pieces of the page; they are put in their places.
"use strict";
(() => {
  const RETRY_MS = [1000, 2000, 5000, 10000];
  let source = null;
  let failures = 0;
  let waiting = 0;
  let silence = 0;

  const frame = () => document.querySelector("[data-live]");
  const period = () => document.querySelector(".periods [aria-current]")?.dataset.period || "hour";

  function show(state) {
    const element = document.getElementById("link-state");
    if (element.dataset.state === state) return;
    element.dataset.state = state;
    element.textContent = mintage.say("site." + state);
  }

  // A row of the table, made by the server; parsed inside a template, so that a bare <tr> survives.
  function rowOf(html) {
    const holder = document.createElement("template");
    holder.innerHTML = html;
    return holder.content.querySelector("tr");
  }

  function putRows(rows) {
    const body = document.getElementById("rows");
    for (const { id, html } of rows) { // oldest first
      const row = rowOf(html);
      const old = document.getElementById(id);
      if (old) old.replaceWith(row);
      else {
        row.classList.add("is-new");
        const before = [...body.rows].find((other) => other.id < id); // ids sort by time
        body.insertBefore(row, before || null);
      }
    }
    const limit = Number(body.dataset.limit);
    while (body.rows.length > limit) body.deleteRow(-1);
    document.getElementById("rows-empty").hidden = body.rows.length > 0;
  }

  function update(event) {
    const pieces = JSON.parse(event.data);
    if (pieces.rows) putRows(pieces.rows);
    if (pieces.statement) document.getElementById("statement").innerHTML = pieces.statement;
    if (pieces.customers) document.getElementById("customer-sheet").innerHTML = pieces.customers;
    if (pieces.series) mintage.updateChart(pieces.series);
  }

  // The server says something at least every 10 s. A line that is silent for longer is dead, whatever it claims.
  function heard() {
    clearTimeout(silence);
    silence = setTimeout(broken, 25000);
  }

  // A page that is being left loses its stream too: it is gone before this asks.
  function broken() {
    source.close();
    clearTimeout(silence);
    clearTimeout(waiting);
    waiting = setTimeout(retry, 400);
  }

  async function retry() {
    show("offline");
    try {
      const answer = await fetch("/console/session", { headers: { Accept: "application/json" } });
      if (answer.status === 401) return mintage.toTheDoor();
    } catch { /* the server is away: try again below */ }
    waiting = setTimeout(open, RETRY_MS[Math.min(failures++, RETRY_MS.length - 1)]);
  }

  function open() {
    clearTimeout(waiting);
    if (source) source.close();
    const address = new URL(frame().dataset.live, location.href);
    address.searchParams.set("period", period());
    source = new EventSource(address);
    source.addEventListener("open", () => { failures = 0; show("live"); heard(); });
    source.addEventListener("update", update);
    for (const event of ["update", "beat"]) source.addEventListener(event, heard);
    source.addEventListener("expired", () => mintage.toTheDoor());
    source.addEventListener("error", broken);
  }

  document.addEventListener("DOMContentLoaded", () => { if (frame()) open(); });
  addEventListener("offline", () => { if (source) broken(); });
  addEventListener("online", () => { if (frame()) open(); });
  addEventListener("pagehide", () => { if (source) source.close(); });
  addEventListener("pageshow", (event) => { if (event.persisted && frame()) open(); });
  // Figures that cannot be fetched: ask for the whole page, which says why.
  for (const trouble of ["htmx:response:error", "htmx:error"]) {
    document.addEventListener(trouble, (event) => {
      const link = event.target.closest ? event.target.closest("[data-period]") : null;
      if (link && event.detail.ctx && event.detail.ctx.response?.status !== 401) location.assign(link.href);
    });
  }

  document.addEventListener("htmx:after:swap", () => {
    if (!frame()) return;
    mintage.startChart();
    open();
  });
})();
