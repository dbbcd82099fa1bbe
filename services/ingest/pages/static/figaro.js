// Live progress only: the page says everything without it. The address and the state come from the page itself.
(() => {
  const live = document.querySelector("[data-events]");
  if (!live || !("EventSource" in window)) return;
  const order = ["opened", "pulled", "staged", "answered"];
  const source = new EventSource(live.dataset.events);
  source.addEventListener("state", (event) => {
    const state = JSON.parse(event.data).state;
    if (state === "answered" || state === "stuck") {
      source.close();
      if (state !== live.dataset.state) location.reload();
      return;
    }
    for (const step of live.querySelectorAll("[data-step]")) {
      const at = order.indexOf(step.dataset.step), now = order.indexOf(state) + 1;
      step.className = at < now ? "done" : at === now ? "now" : "";
      if (at === now) step.setAttribute("aria-current", "step");
      else step.removeAttribute("aria-current");
    }
  });
})();

// A link to a candidate that is folded away unfolds it.
(() => {
  const unfold = () => {
    const target = document.getElementById(location.hash.slice(1));
    if (target instanceof HTMLDetailsElement) target.open = true;
  };
  addEventListener("hashchange", unfold);
  unfold();
})();
