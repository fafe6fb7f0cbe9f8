// The playground: ask as a customer, read the answer as it is written, then its receipt.
// A model's words are only ever text nodes; the receipt is HTML that the server made and escaped.
"use strict";
(() => {
  const DRAFT = "mintage:playground";
  const TURN_LIMIT = 40;

  // Split a body into server-sent events: {name, data}.
  async function* events(body) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      rest += value;
      const blocks = rest.split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const event = { name: "message", data: "" };
        for (const line of block.split("\n")) {
          if (line.startsWith("event: ")) event.name = line.slice(7);
          else if (line.startsWith("data: ")) event.data += line.slice(6);
        }
        if (event.data) yield event;
      }
    }
  }

  function piece(parent, className, text) {
    const element = document.createElement("div");
    element.className = className;
    element.textContent = text;
    return parent.appendChild(element);
  }

  const component = () => ({
    busy: false,
    abort: null,
    running: "",
    turns: [],
    get idle() { return !this.busy; },
    reveal() { this.$el.hidden = false; },

    init() {
      this.restoreDraft();
      document.getElementById("clear").addEventListener("click", () => this.clear());
    },

    keepDraft() {
      const { prompt, system, customer, model, maxTokens, temperature } = this.$refs;
      const draft = { prompt, system, customer, model, maxTokens, temperature };
      for (const name of Object.keys(draft)) draft[name] = draft[name].value;
      sessionStorage.setItem(DRAFT, JSON.stringify(draft));
    },

    restoreDraft() {
      let draft = null;
      try { draft = JSON.parse(sessionStorage.getItem(DRAFT)); } catch { return; }
      if (!draft) return;
      for (const [name, value] of Object.entries(draft)) {
        const field = this.$refs[name];
        if (!field || (field.options && ![...field.options].some((option) => option.value === value))) continue;
        field.value = value;
      }
      if (draft.prompt) document.getElementById("said").textContent = mintage.say("playground.draft_kept");
    },

    clear() {
      if (this.busy) this.stop();
      this.turns = [];
      for (const turn of document.querySelectorAll("#tape .turn")) turn.remove();
      document.getElementById("tape-empty").hidden = false;
      document.getElementById("clear").hidden = true;
      this.$refs.prompt.focus();
    },

    // End the answer, not the connection: its receipt still comes. Before the server has begun there is none.
    stop() {
      if (!this.running) return this.abort && this.abort.abort();
      fetch(`/console/playground/${encodeURIComponent(this.running)}/stop`, {
        method: "POST",
        headers: { "X-CSRF-Token": this.csrf() },
      }).catch(() => this.abort.abort());
    },

    csrf() { return document.getElementById("composer").elements.csrf.value; },

    question() {
      const { customer, model, system, maxTokens, temperature } = this.$refs;
      return {
        customer: customer.value,
        model: model.value,
        system: system.value,
        max_tokens: Number(maxTokens.value) || null,
        temperature: temperature.value === "" ? null : temperature.value,
        messages: this.turns,
      };
    },

    async submit() {
      const text = this.$refs.prompt.value.trim();
      if (this.busy || !text || this.$refs.customer.disabled || this.$refs.model.disabled) return;
      const asked = { role: "user", content: text };
      this.turns = [...this.turns.slice(-TURN_LIMIT), asked];
      this.busy = true;
      this.abort = new AbortController();
      const view = this.openTurn(text);
      const said = document.getElementById("said");
      said.textContent = mintage.say("playground.running");
      try {
        const settled = await this.ask(view);
        this.turns = [...this.turns, { role: "assistant", content: view.answer.textContent }];
        if (settled) {
          this.$refs.prompt.value = "";
          this.keepDraft();
          said.textContent = mintage.say("playground.done", settled);
        }
      } catch (error) {
        this.turns = this.turns.filter((turn) => turn !== asked);
        if (error.name !== "AbortError") said.textContent = piece(view.turn, "failure", error.message).textContent;
      } finally {
        view.turn.dataset.state = "done";
        this.busy = false;
        this.running = "";
        this.follow(view.tape, true);
      }
    },

    openTurn(text) {
      const tape = document.getElementById("tape");
      document.getElementById("tape-empty").hidden = true;
      document.getElementById("clear").hidden = false;
      const turn = piece(tape, "turn", "");
      turn.dataset.state = "running";
      const asked = piece(turn, "asked", text);
      const who = document.createElement("span");
      who.className = "sr";
      who.textContent = mintage.say("playground.you");
      asked.prepend(who, " ");
      const answer = piece(turn, "answer", "");
      this.follow(tape, true);
      return { tape, turn, answer, failed: false };
    },

    // Stay at the end of the tape while the reader is there; never pull a reader down who scrolled up.
    follow(tape, always) {
      const away = tape.scrollHeight - tape.scrollTop - tape.clientHeight;
      if (always || away < 80) tape.scrollTop = tape.scrollHeight;
    },

    async ask(view) {
      let answer;
      try {
        answer = await fetch("/console/playground", {
          method: "POST",
          signal: this.abort.signal,
          headers: {
            "Content-Type": "application/json",
            Accept: "text/event-stream",
            "X-CSRF-Token": this.csrf(),
          },
          body: JSON.stringify(this.question()),
        });
      } catch (error) {
        if (error.name === "AbortError") throw error;
        throw new Error(mintage.say("error.network"));
      }
      if (answer.status === 401) {
        this.keepDraft();
        mintage.toTheDoor();
        return null;
      }
      if (!answer.ok) throw new Error((await answer.json()).message);
      let settled = null;
      try {
        for await (const { name, data } of events(answer.body)) settled = this.take(view, name, JSON.parse(data)) || settled;
      } catch (error) {
        if (error.name === "AbortError") throw error;
        throw new Error(mintage.say("error.stream_cut"));
      }
      if (!settled && !view.failed) throw new Error(mintage.say("error.stream_cut"));
      return view.failed ? null : settled;
    },

    // One event of the stream. Returns what was settled, once it is.
    take(view, name, data) {
      let settled = null;
      if (name === "held") this.running = data.id;
      else if (name === "text") view.answer.append(data);
      else if (name === "error") {
        view.failed = true;
        document.getElementById("said").textContent = piece(view.turn, "failure", data.message).textContent;
      } else if (name === "receipt") {
        const holder = document.createElement("div");
        holder.innerHTML = data.html;
        view.turn.append(holder);
        settled = { charge: data.charge, margin: data.margin };
      }
      this.follow(view.tape, false);
      return settled;
    },
  });

  mintage.events = events;
  document.addEventListener("alpine:init", () => Alpine.data("playground", component));
})();
