// The playground as a page: one question to one or two models, each with its price before and its receipt after.
// A model's words are only ever text nodes; a receipt is HTML that the server made and escaped.
"use strict";
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const form = () => document.getElementById("bench");
  let running = [];
  let shown = "Python";

  const quote = (text) => JSON.stringify(text);
  function question(model) {
    const fields = form().elements;
    return {
      customer: fields.customer.value,
      model,
      system: fields.system.value,
      max_tokens: Number(fields.max_tokens.value) || null,
      temperature: fields.temperature.value === "" ? null : fields.temperature.value,
      messages: [{ role: "user", content: fields.prompt.value.trim() }],
    };
  }

  const CODE = {
    Python: (base, body) => `from openai import OpenAI\n\nclient = OpenAI(base_url=${quote(base + "/v1")}, api_key="YOUR_KEY")\nanswer = client.chat.completions.create(\n    model=${quote(body.model)},\n    messages=${JSON.stringify(body.messages)},\n    max_tokens=${body.max_tokens},\n    temperature=${body.temperature},\n)\nprint(answer.choices[0].message.content)`,
    JavaScript: (base, body) => `import OpenAI from "openai";\n\nconst client = new OpenAI({ baseURL: ${quote(base + "/v1")}, apiKey: process.env.MINTAGE_KEY });\nconst answer = await client.chat.completions.create(${JSON.stringify(body, null, 2)});\nconsole.log(answer.choices[0].message.content);`,
    curl: (base, body) => `curl ${base}/v1/chat/completions \\\n  -H "Authorization: Bearer $MINTAGE_KEY" \\\n  -H "Content-Type: application/json" \\\n  -d '${JSON.stringify(body).replace(/'/g, "'\\''")}'`,
  };

  function showCode() {
    const fields = form().elements;
    const messages = [{ role: "user", content: fields.prompt.value.trim() || "Hello" }];
    if (fields.system.value.trim()) messages.unshift({ role: "system", content: fields.system.value.trim() });
    const body = { model: fields.model.value || "MODEL", messages, max_tokens: Number(fields.max_tokens.value) || 256, temperature: Number(fields.temperature.value) || 0 };
    $("#code code").textContent = CODE[shown](form().dataset.base, body);
  }

  function fail(lane, text) {
    const failure = document.createElement("p");
    failure.className = "failure";
    failure.textContent = text;
    $(".answer", lane).after(failure);
    $("#bench-said").textContent = text;
  }

  function take(lane, name, data, state) {
    if (name === "held") {
      state.id = data.id;
      if (data.amount) $("[data-price]", lane).textContent = mintage.say("bench.at_most", data);
    } else if (name === "text") $(".answer", lane).append(data);
    else if (name === "error") fail(lane, data.message);
    else if (name === "receipt") {
      $("[data-receipt]", lane).innerHTML = data.html;
      $("#bench-said").textContent = mintage.say("bench.done", data);
    }
  }

  async function ask(lane, model) {
    lane.hidden = false;
    lane.dataset.state = "running";
    $("h2", lane).textContent = model;
    for (const piece of [".answer", "[data-price]", "[data-receipt]"]) $(piece, lane).textContent = "";
    lane.querySelectorAll(".failure").forEach((old) => old.remove());
    const state = { id: "", abort: new AbortController() };
    running.push(state);
    try {
      const answer = await fetch("/console/playground", {
        method: "POST", signal: state.abort.signal, body: JSON.stringify(question(model)),
        headers: { "Content-Type": "application/json", Accept: "text/event-stream", "X-CSRF-Token": form().elements.csrf.value },
      });
      if (answer.status === 401) return mintage.toTheDoor();
      if (!answer.ok) return fail(lane, (await answer.json()).message);
      for await (const { name, data } of mintage.events(answer.body)) take(lane, name, JSON.parse(data), state);
    } catch (error) {
      if (error.name !== "AbortError") fail(lane, mintage.say("error.network"));
    } finally {
      lane.dataset.state = "done";
    }
    return null;
  }

  async function submit(event) {
    event.preventDefault();
    if (running.length || !form().elements.prompt.value.trim()) return;
    const fields = form().elements;
    $("#bench-stop").hidden = false;
    $("#bench-said").textContent = mintage.say("playground.running");
    const other = $("#lane-two");
    other.hidden = !fields.other.value;
    const asked = [ask($("#lane-one"), fields.model.value)];
    if (fields.other.value) asked.push(ask(other, fields.other.value));
    await Promise.all(asked);
    running = [];
    $("#bench-stop").hidden = true;
  }

  function stop() {
    for (const { id, abort } of running) {
      if (!id) abort.abort();
      else fetch(`/console/playground/${encodeURIComponent(id)}/stop`, { method: "POST", headers: { "X-CSRF-Token": form().elements.csrf.value } }).catch(() => abort.abort());
    }
  }

  document.addEventListener("DOMContentLoaded", () => {
    if (!form()) return;
    form().addEventListener("submit", submit);
    form().addEventListener("input", showCode);
    form().addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form().requestSubmit();
    });
    $("#bench-stop").addEventListener("click", stop);
    for (const tab of document.querySelectorAll("[data-code]")) {
      tab.addEventListener("click", () => {
        shown = tab.dataset.code;
        for (const one of document.querySelectorAll("[data-code]")) one.setAttribute("aria-pressed", String(one === tab));
        showCode();
      });
    }
    showCode();
  });
})();
