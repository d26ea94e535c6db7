"use strict";
// Cursors that follow the players, plots that seek, a lens that shows the codes' numbers, and a message where there is no microphone.
// Events are handled on the document, because results are replaced.
(() => {
  const WINDOW = 7; // codes on either side of the one under the lens
  const hue = (code) => Math.round(360 * ((code * 0.61803398875) % 1));

  const players = () => document.querySelectorAll(".vq-clip audio");
  const place = (plot, share) => {
    const cursor = plot.querySelector(".vq-cursor");
    cursor.style.left = `${100 * Math.min(Math.max(share, 0), 1)}%`;
    cursor.style.opacity = 1;
  };
  const plotOf = (player) => player.closest(".vq-clip").querySelector(".vq-plot");

  document.addEventListener("timeupdate", ({ target }) => {
    if (!target.matches?.(".vq-clip audio")) return;
    const plot = plotOf(target);
    place(plot, target.currentTime / plot.dataset.seconds);
  }, true);
  document.addEventListener("play", ({ target }) => {
    for (const player of players()) if (player !== target) player.pause();
  }, true);
  document.addEventListener("click", (event) => {
    const plot = event.target.closest?.(".vq-spectrogram");
    if (!plot) return;
    const box = plot.getBoundingClientRect();
    plot.closest(".vq-clip").querySelector("audio").currentTime = plot.dataset.seconds * (event.clientX - box.left) / box.width;
  });

  addEventListener("unhandledrejection", (event) => { // Gradio leaves it to the console
    if (!/access\w* the microphone/.test(event.reason?.message ?? event.reason)) return;
    event.preventDefault();
    const sentence = document.createElement("p");
    sentence.className = "vq-error";
    sentence.setAttribute("role", "alert");
    sentence.textContent = isSecureContext
      ? "No microphone: connect one and allow this page to use it, or upload a recording."
      : "No microphone: browsers allow one only to pages over https or of this very machine; upload a recording.";
    (document.activeElement?.closest("#sample") ?? document.querySelector("#recording")).after(sentence);
    for (const kind of ["pointerdown", "keydown"]) addEventListener(kind, () => sentence.remove(), { once: true });
  });

  const read = (strip, index) => {
    const codes = strip.parsed ??= JSON.parse(strip.dataset.codes);
    index = Math.min(Math.max(index, 0), codes.length - 1);
    const ms = index * strip.dataset.codeMs;
    strip.setAttribute("aria-valuenow", index);
    strip.setAttribute("aria-valuetext", `code ${codes[index]} at ${(ms / 1000).toFixed(3)} s`);
    place(strip, (ms + strip.dataset.codeMs / 2) / 1000 / strip.dataset.seconds);
    const lens = strip.closest(".vq-codes").querySelector(".vq-lens");
    const cells = [];
    for (let at = index - WINDOW; at <= index + WINDOW; at++) {
      const cell = document.createElement("span");
      if (codes[at] !== undefined) {
        cell.textContent = codes[at];
        cell.style.setProperty("--hue", hue(codes[at]));
      }
      if (at === index) cell.className = "vq-here";
      cells.push(cell);
    }
    const time = document.createElement("b");
    time.textContent = `${(ms / 1000).toFixed(3)} s`;
    lens.replaceChildren(time, ...cells);
  };
  document.addEventListener("pointermove", (event) => {
    const strip = event.target.closest?.(".vq-strip");
    if (!strip) return;
    const box = strip.getBoundingClientRect();
    read(strip, Math.floor(strip.dataset.seconds * 1000 * (event.clientX - box.left) / box.width / strip.dataset.codeMs));
  });
  document.addEventListener("keydown", (event) => {
    const strip = event.target.closest?.(".vq-strip");
    const second = strip && Math.round(1000 / strip.dataset.codeMs);
    const last = strip && Number(strip.getAttribute("aria-valuemax"));
    const now = strip && Number(strip.getAttribute("aria-valuenow"));
    const to = strip && { ArrowRight: now + 1, ArrowLeft: now - 1, PageUp: now + second, PageDown: now - second, Home: 0, End: last }[event.key];
    if (to === null || to === undefined) return;
    event.preventDefault();
    read(strip, to);
  });
})();
