// What every page needs: phrases, the theme, where the reader is, and the way to the door when a session ends.
"use strict";
(() => {
  const phrases = JSON.parse(document.getElementById("phrases").textContent);

  // A phrase of the catalogue with its {braces} filled in.
  const say = (key, values = {}) => phrases[key].replace(/\{(\w+)\}/g, (_, name) => values[name]);

  // Leave for the sign-in page; what was being written waits in sessionStorage.
  const toTheDoor = () => {
    const here = encodeURIComponent(location.pathname + location.search);
    location.assign(`/console/sign-in?reason=expired&next=${here}`);
  };

  window.mintage = { say, toTheDoor };

  document.addEventListener("alpine:init", () => {
    Alpine.data("theme", () => ({
      choice: document.documentElement.dataset.theme || "auto",
      get isAuto() { return this.choice === "auto"; },
      get isLight() { return this.choice === "light"; },
      get isDark() { return this.choice === "dark"; },
      get label() { return say("site.theme_" + this.choice); },
      reveal() { this.$el.hidden = false; },
      next() {
        this.choice = { auto: "light", light: "dark", dark: "auto" }[this.choice];
        if (this.isAuto) delete document.documentElement.dataset.theme;
        else document.documentElement.dataset.theme = this.choice;
        document.cookie = `mintage_theme=${this.choice}; Path=/; Max-Age=31536000; SameSite=Lax`;
        document.dispatchEvent(new Event("mintage:theme"));
      },
    }));
  });

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    document.dispatchEvent(new Event("mintage:theme"));
  });
})();
