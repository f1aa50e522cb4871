
"use strict";
(() => {
  const source = document.getElementById("data");
  if (!source) return;
  const { cells, items } = JSON.parse(source.textContent);
  const at = (id) => document.getElementById(id);
  const CHUNK = 60;  // thumbnails added at a time
  const SCALES = [1, 2, 5, 10, 20, 50, 100];
  const STRUCTURE = 1, LARGE = 2, MASK = 4;  // flags of items
  let shown = [];  // items that pass the filters
  let current = -1;  // index into shown

  const path = (folder, ...parts) =>
    ["images", folder, ...parts.join("/").split("/")].map(encodeURIComponent).join("/");
  const original = (item) => path("originals", cells[item.c].dataset, `${item.i}.png`);
  const adversarial = (item) => path("adversarial", cells[item.c].folder, `${item.i}.png`);
  const structure = (item) => path("structure", cells[item.c].folder, `${item.i}.png`);
  const mask = (item) => path("mask", cells[item.c].folder, `${item.i}.png`);
  const thumbnail = (item) =>
    item.x & LARGE ? path("thumbnails", cells[item.c].folder, `${item.i}.jpg`) : adversarial(item);
  const percent = (share) => share === null ? "" : `${(100 * share).toFixed(share > 0.995 && share < 1 ? 1 : 0)} %`;
  const fooled = (item) => (item.s & 1) === 1;

  function make(tag, text, name) {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (name) element.className = name;
    return element;
  }

  function fill(select, names) {
    select.append(new Option("all", ""), ...names.map((name) => new Option(name, name)));
    select.parentElement.hidden = names.length < 2;
  }

  function filter() {
    const wanted = Object.fromEntries(
      ["dataset", "method", "classifier", "outcome"].map((name) => [name, at(`filter-${name}`).value]));
    const text = at("filter-text").value.trim().toLowerCase();
    const before = shown[current];
    shown = items.filter((item) => {
      const cell = cells[item.c];
      return ["dataset", "method", "classifier"].every((name) => !wanted[name] || cell[name] === wanted[name])
        && (!wanted.outcome || { fooled: fooled(item), not: !fooled(item), lost: item.s === 2 }[wanted.outcome])
        && (!text || [item.n, item.i, item.o[0], item.a[0]].some((name) => String(name).toLowerCase().includes(text)));
    });
    at("count").textContent = `${shown.length.toLocaleString("en")} of ${items.length.toLocaleString("en")} images`;
    at("list").replaceChildren();
    at("list").removeAttribute("aria-activedescendant");
    at("viewer").hidden = !shown.length;
    current = -1;
    grow();
    if (shown.length) choose(Math.max(0, shown.indexOf(before)), false);
  }

  // Thumbnails are added as they scroll into view, so thousands cost nothing at first.
  function grow(least = 0) {
    const list = at("list");
    let end = list.querySelector(".end");
    if (end) end.remove();
    const start = list.childElementCount;
    const stop = Math.min(shown.length, Math.max(start + CHUNK, least));
    for (let k = start; k < stop; k++) list.append(option(shown[k], k));
    if (stop < shown.length) {
      end = make("div", "", "end");
      list.append(end);
      watcher.observe(end);
    }
  }

  function option(item, k) {
    const element = make("div", undefined, "item");
    element.id = `item-${k}`;
    element.setAttribute("role", "option");
    element.setAttribute("aria-selected", "false");
    element.setAttribute("aria-setsize", shown.length);
    element.setAttribute("aria-posinset", k + 1);
    const image = make("img");
    image.loading = "lazy";
    image.decoding = "async";
    image.alt = "";
    image.src = thumbnail(item);
    const cell = cells[item.c];
    element.append(
      image,
      make("div", item.n),
      make("div", `${cell.method}, ${cell.classifier}`, "method"),
      make("div", `${item.o[0]} → ${item.a[0]}`),
      make("div", fooled(item) ? "fooled" : "not fooled", fooled(item) ? "yes" : "no"),
    );
    element.title = `${item.n}: ${item.o[0]} → ${item.a[0]}`;
    element.addEventListener("click", () => { choose(k); });
    return element;
  }

  function choose(k, scroll = true) {
    if (k < 0 || k >= shown.length) return;
    const list = at("list");
    if (k >= list.querySelectorAll(".item").length) grow(k + 1);
    const old = at(`item-${current}`);
    if (old) old.setAttribute("aria-selected", "false");
    current = k;
    const element = at(`item-${k}`);
    element.setAttribute("aria-selected", "true");
    list.setAttribute("aria-activedescendant", element.id);
    if (scroll) {  // only the list, not the page
      const box = element.getBoundingClientRect(), frame = list.getBoundingClientRect();
      list.scrollTop += Math.min(0, box.top - frame.top - 8) + Math.max(0, box.bottom - frame.bottom + 8);
      list.scrollLeft += Math.min(0, box.left - frame.left - 8) + Math.max(0, box.right - frame.right + 8);
    }
    at("previous").setAttribute("aria-disabled", k === 0);  // "disabled" would lose the focus
    at("next").setAttribute("aria-disabled", k === shown.length - 1);
    show();
  }

  function show() {
    const item = shown[current];
    const canvas = at("canvas");
    const [width, height] = item.w;
    canvas.style.aspectRatio = `${width} / ${height}`;
    canvas.style.maxWidth = `calc(30rem * ${width / height})`;
    for (const label of document.querySelectorAll(".intermediate")) label.hidden = !(item.x & STRUCTURE);
    for (const label of document.querySelectorAll(".mask")) label.hidden = !(item.x & MASK);
    const checked = document.querySelector("input[name=view]:checked");
    if (checked.parentElement.hidden) document.querySelector("input[name=view][value=wipe]").checked = true;
    draw();
    describe(item);
  }

  function draw() {
    const item = shown[current];
    const view = document.querySelector("input[name=view]:checked").value;
    const [canvas, below, above] = [at("canvas"), at("below"), at("above")];
    const difference = { perturbation: "difference", details: "half", enhanced: "half" }[view];
    const names = {
      wipe: [original, adversarial], perturbation: [original, adversarial], structure: [structure, original],
      mask: [mask, original],
      details: [original, structure], enhanced: [adversarial, structure],
    }[view];
    for (const [image, name] of [[below, names[0]], [above, names[1]]]) {
      const address = name(item);
      if (image.getAttribute("src") !== address) image.src = address;
    }
    const labels = {
      wipe: ["Original", "Adversarial"], perturbation: ["Perturbation", ""], structure: ["Structure", "Original"],
      mask: ["Mask", "Original"],
      details: ["Details", ""], enhanced: ["Enhanced details", ""],
    }[view];
    below.alt = `${labels[0]}: ${item.n}`;
    above.alt = labels[1] && `${labels[1]}: ${item.n}`;
    above.className = difference || "";
    canvas.classList.toggle("grey", difference === "half");
    const scale = SCALES[at("scale").value];
    canvas.style.filter = view === "perturbation" ? `brightness(${scale})` : "";
    at("scale-text").textContent = `Scaled by ${scale}`;
    at("scale").setAttribute("aria-valuetext", `${scale} times`);
    at("scale-row").hidden = view !== "perturbation";
    at("wipe").setAttribute("aria-label", `Share of the ${labels[0].toLowerCase()} shown, in percent`);
    at("wipe-row").hidden = at("handle").hidden = Boolean(difference);
    at("left-label").textContent = labels[0].toLowerCase() + (view === "perturbation" ? ` × ${scale}; black is no change` : "")
      + (difference === "half" ? "; grey is no difference" : "");
    at("right-label").textContent = labels[1].toLowerCase();
    at("right-label").hidden = !labels[1];
    wipe();
    const zoom = Number(at("zoom").value);
    at("stage").classList.toggle("zoomed", zoom > 1);
    canvas.style.width = zoom > 1 ? `${100 * zoom}%` : "";
  }

  function wipe() {
    const share = at("wipe-row").hidden ? 0 : Number(at("wipe").value);
    at("above").style.clipPath = `inset(0 0 0 ${share}%)`;
    at("handle").style.left = `${share}%`;
  }

  function describe(item) {
    const cell = cells[item.c];
    const list = make("dl");
    const row = (name, ...parts) => {
      const value = make("dd");
      value.append(...parts);
      list.append(make("dt", name), value);
    };
    row("before", make("bdi", item.o[0]), ` ${percent(item.o[1])}`);
    row("after", make("bdi", item.a[0]), ` ${percent(item.a[1])} `,
      fooled(item) ? make("span", "fooled", "yes") : make("span", item.s === 2 ? "fooled only before rounding" : "not fooled", "no"));
    const others = cell.targets.map((name, k) => [name, item.t[k]]).filter(([, letter]) => letter !== "-");
    if (others.length) row("other classifiers", others.map(([name, letter]) => `${name}: ${letter === "y" ? "another class" : "same class"}`).join(", "));
    const [iterations, seconds, psnr, ssim] = item.m;
    const facts = [
      iterations === null ? "" : `${iterations} ${iterations === 1 ? "iteration" : "iterations"}`, seconds === null ? "" : `${seconds.toFixed(2)} s`,
      ssim === null ? "" : psnr === null ? "unchanged" : `PSNR ${psnr.toFixed(1)} dB, SSIM ${ssim.toFixed(3)}`, `${item.w[0]} × ${item.w[1]} pixels`,
    ];
    row("attack", facts.filter(Boolean).join(", "));
    const title = make("h3");
    title.append(make("bdi", item.n));
    const subtitle = make("div", undefined, "muted");
    subtitle.append(make("bdi", cell.method), " on ", make("bdi", cell.classifier), ", ", make("bdi", cell.dataset));
    at("description").replaceChildren(title, subtitle, list);
  }

  function drag(event) {
    if (at("wipe-row").hidden || at("stage").classList.contains("zoomed") || !(event.buttons & 1)) return;
    const box = at("canvas").getBoundingClientRect();
    at("wipe").value = 100 * (event.clientX - box.left) / box.width;
    wipe();
  }

  const columns = () => getComputedStyle(at("list")).gridAutoFlow.startsWith("column")
    ? 1 : getComputedStyle(at("list")).gridTemplateColumns.split(" ").length;
  const watcher = new IntersectionObserver(
    (entries) => { if (entries.some((entry) => entry.isIntersecting)) grow(); }, { root: at("list"), rootMargin: "400px" });

  for (const name of ["dataset", "method", "classifier"]) fill(at(`filter-${name}`), [...new Set(cells.map((cell) => cell[name]))]);
  at("filters").addEventListener("input", filter);
  at("filters").addEventListener("submit", (event) => event.preventDefault());
  at("list").addEventListener("keydown", (event) => {
    const steps = {
      ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns(), ArrowUp: -columns(), Home: -shown.length, End: shown.length,
      PageDown: 4 * columns(), PageUp: -4 * columns(),
    };
    if (!(event.key in steps) || !shown.length || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    choose(Math.min(shown.length - 1, Math.max(0, current + steps[event.key])));
  });
  at("previous").addEventListener("click", () => choose(current - 1));
  at("next").addEventListener("click", () => choose(current + 1));
  at("wipe").addEventListener("input", wipe);
  at("scale").addEventListener("input", draw);
  at("views").addEventListener("change", draw);
  at("zoom").addEventListener("change", draw);
  at("canvas").addEventListener("pointerdown", drag);
  at("canvas").addEventListener("pointermove", drag);
  at("filters").hidden = at("browser").hidden = false;
  filter();
})();
