"use strict";
// Dark or light: as the system says, until someone chooses.
(() => {
  const button = document.getElementById("theme");
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
  const describe = () => { button.textContent = isDark() ? "Light" : "Dark"; };
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    describe();
  });
  system.addEventListener("change", describe);
  describe();
  button.hidden = false;
})();
// The films play without this script; it adds the controls.
(() => {
  const player = document.getElementById("player");
  if (!player) return;
  const films = document.getAnimations().filter((one) => one.animationName === "film");
  if (!films.length) return;
  const part = (id) => document.getElementById(id);
  const count = Number(part("frame").max);
  const given = Number(getComputedStyle(part("samples")).getPropertyValue("--given"));
  const duration = films[0].effect.getTiming().duration;
  let playing = films[0].playState === "running";
  let shown = -1;

  const each = (action) => films.forEach(action);
  const current = () => Math.floor((((films[0].currentTime ?? 0) % duration) / duration) * count);
  const describe = () => {
    const frame = current();
    if (frame === shown) return;
    shown = frame;
    part("frame").value = String(frame + 1);
    part("where").textContent =
      `frame ${frame + 1} of ${count}, ${frame < given ? "given" : "predicted"}`;
  };
  const follow = () => {
    describe();
    if (playing) requestAnimationFrame(follow);
  };
  const set = (play) => {
    playing = play;
    const now = films[0].currentTime ?? 0;
    each((one) => {
      one.currentTime = now;
      if (play) one.play();
      else one.pause();
    });
    part("play").textContent = play ? "Pause" : "Play";
    follow();
  };
  const show = (frame) => {
    set(false);
    // The middle of the frame's time, far from rounding at its ends.
    each((one) => { one.currentTime = (((frame + count) % count) + 0.5) * (duration / count); });
    describe();
  };

  part("play").addEventListener("click", () => set(!playing));
  part("back").addEventListener("click", () => show(current() - 1));
  part("on").addEventListener("click", () => show(current() + 1));
  part("frame").addEventListener("input", (event) => show(Number(event.target.value) - 1));
  part("speed").addEventListener("change", (event) => {
    each((one) => { one.playbackRate = Number(event.target.value); });
  });
  const keys = { j: () => show(current() - 1), k: () => set(!playing), l: () => show(current() + 1) };
  document.addEventListener("keydown", (event) => {
    const typing = event.target instanceof HTMLSelectElement;
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    keys[event.key]?.();
  });
  player.hidden = false;
  set(playing);
})();
