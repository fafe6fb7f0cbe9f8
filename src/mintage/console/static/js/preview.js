// A form whose preview follows what is typed: posted as it stands, the answer put in its place.
"use strict";
(() => {
  const WAIT_MS = 350;
  let waiting = 0, turn = 0;

  async function refresh(form) {
    const mine = ++turn;
    const box = document.getElementById("preview");
    const body = new URLSearchParams(new FormData(form));
    let answer;
    try {
      answer = await fetch(form.dataset.preview, { method: "POST", body, headers: { Accept: "text/html" } });
    } catch {
      return; // the next key tries again; sending the form says what is wrong
    }
    if (answer.status === 401) return mintage.toTheDoor();
    const html = await answer.text();
    if (mine !== turn || !answer.ok) return;
    const agreed = box.querySelector("[name=anyway]")?.checked;
    box.innerHTML = html; // made and escaped by the server
    const again = box.querySelector("[name=anyway]");
    if (again && agreed) again.checked = true;
    box.querySelectorAll("figure[data-plot]").forEach(mintage.drawPlot);
  }

  document.addEventListener("input", (event) => {
    const form = event.target.closest?.("form[data-preview]");
    if (!form || event.target.name === "anyway") return;
    clearTimeout(waiting);
    waiting = setTimeout(() => refresh(form), WAIT_MS);
  });
})();
