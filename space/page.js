// What the page does by itself: examples fill the boxes, the link to a puzzle is copied, clocks tick, keys type, and
// the document says its language.
(() => {
  const type = (selector, value) => {
    const box = document.querySelector(`${selector} textarea, ${selector} input`);
    if (!box) return;
    box.value = value;
    box.dispatchEvent(new Event("input", { bubbles: true }));
    box.setSelectionRange(value.length, value.length);
  };
  const copy = async (link) => {
    const address = new URL(link.getAttribute("href"), location.href).href;
    const hint = link.parentElement.querySelector(".hint");
    try {
      await navigator.clipboard.writeText(address);
      hint.textContent = link.dataset.copied;
    } catch {
      hint.textContent = address; // no right to the clipboard: it can be copied by hand
    }
  };
  const press = (key) => {
    const box = document.querySelector("#duel-answer textarea, #duel-answer input");
    if (!box) return;
    const kept = key === "⌫" ? box.value.trimEnd().replace(/(\d+|\D)$/, "") : box.value;
    type("#duel-answer", key === "⌫" ? kept : `${kept}${kept && !/[ (]$/.test(kept) && key !== ")" ? " " : ""}${key}`);
  };
  document.addEventListener("click", (event) => {
    const target = event.target instanceof Element ? event.target : null;
    const chip = target?.closest("a.chip"), link = target?.closest("a.share"), key = target?.closest("button.key");
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (chip) {
      event.preventDefault();
      type("#numbers", chip.dataset.numbers);
      type("#target", chip.dataset.target);
    } else if (link) {
      event.preventDefault();
      copy(link);
    } else if (key) {
      press(key.dataset.key);
    }
  });
  setInterval(() => {
    const spoken = document.querySelector("#header [data-lang]"); // what a screen reader is to speak
    if (spoken && document.documentElement.lang !== spoken.dataset.lang) document.documentElement.lang = spoken.dataset.lang;
    for (const clock of document.querySelectorAll(".clock[data-since]")) {
      const since = Number(clock.dataset.since);
      clock.dataset.began ||= String(performance.now() - since * 1000);
      clock.textContent = ((performance.now() - Number(clock.dataset.began)) / 1000).toFixed(1);
    }
  }, 100);
})();
