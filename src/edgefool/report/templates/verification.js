"use strict";
(() => {
  for (const pair of document.querySelectorAll(".pair")) {
    const range = pair.querySelector("input"), canvas = pair.querySelector(".canvas");
    const wipe = () => {
      pair.querySelector(".after").style.clipPath = `inset(0 0 0 ${range.value}%)`;
      pair.querySelector(".handle").style.left = `${range.value}%`;
    };
    const drag = (event) => {
      if (!(event.buttons & 1)) return;
      const box = canvas.getBoundingClientRect();
      range.value = 100 * (event.clientX - box.left) / box.width;
      wipe();
    };
    range.parentElement.hidden = false;
    range.addEventListener("input", wipe);
    canvas.addEventListener("dragstart", (event) => event.preventDefault());
    canvas.addEventListener("pointerdown", drag);
    canvas.addEventListener("pointermove", drag);
  }
  const filter = document.getElementById("filter"), photos = [...document.querySelectorAll(".photo")];
  if (!filter) return;
  filter.closest("p").hidden = false;
  filter.addEventListener("change", () => {
    for (const photo of photos) photo.hidden = filter.value !== "" && !(filter.value in photo.dataset);
    const shown = photos.filter((photo) => !photo.hidden).length;
    document.getElementById("count").textContent = `${shown} of ${photos.length} photos`;
  });
})();
