// The door: use a link as soon as its page is really looked at, and copy the command that makes a new one.
"use strict";
(() => {
  const confirm = document.querySelector("form.confirm");
  if (confirm) {
    // A browser that only fetches ahead must not use the link up.
    if (document.prerendering) document.addEventListener("prerenderingchange", () => confirm.requestSubmit(), { once: true });
    else confirm.requestSubmit();
  }

  document.addEventListener("alpine:init", () => {
    Alpine.data("copy", () => ({
      label: "",
      reveal() {
        this.label = this.$el.dataset.label;
        this.$el.hidden = !navigator.clipboard;
      },
      async copy() {
        await navigator.clipboard.writeText(this.$refs.text.textContent);
        this.label = mintage.say("sign_in.copied");
      },
    }));
  });
})();
