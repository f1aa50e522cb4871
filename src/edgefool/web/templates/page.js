"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const percent = (share) => `${Math.round(100 * share)}\u00a0%`; // stays on one line
  const plural = (count, one) => `${count.toLocaleString("en")} ${one}${count === 1 ? "" : "s"}`;
  const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

  /** Return an element; all text that comes from elsewhere is set as text. */
  const element = (tag, text = "", parts = []) => {
    const made = document.createElement(tag);
    made.textContent = text;
    made.append(...parts);
    return made;
  };

  let photo = null; // the file, to change it again
  let turn = 0; // counts photos; what belongs to an earlier one is dropped
  let job = null; // the address of the photo that is on the page
  let phase = ""; // what the page shows of it
  let drawn = 0; // the step whose picture was shown last

  // Talking to the server

  async function ask(address, options = {}) {
    let answer;
    try {
      answer = await fetch(address, options);
    } catch {
      throw new Error("EdgeFool does not answer. Has its command ended? Start edgefool web again.");
    }
    if (answer.ok) return answer;
    const { error } = await answer.json().catch(() => ({}));
    throw new Error(error || `EdgeFool answered with error ${answer.status}.`);
  }

  function forget() {
    if (job) fetch(job, { method: "DELETE", keepalive: true }).catch(() => {});
    job = null;
  }

  async function start(file) {
    const form = new FormData($("options"));
    $("error").hidden = true;
    if (!form.has("attack")) return fail("Tick at least one classifier to attack.");
    if (file.size > Number($("file").dataset.maxBytes)) {
      return fail(`${file.name} is larger than ${Number($("file").dataset.maxBytes) / 1e6} MB.`);
    }
    forget();
    photo = file;
    const mine = ++turn;
    showWork();
    const query = new URLSearchParams([["name", file.name], ...form]);
    try {
      const { id } = await (await ask(`/photos?${query}`, { method: "POST", body: file })).json();
      if (mine !== turn) return void fetch(`/photos/${id}`, { method: "DELETE" });
      job = `/photos/${id}`;
      await follow(mine);
    } catch (error) {
      if (mine === turn) fail(error.message);
    }
  }

  async function follow(mine) {
    for (;;) {
      const status = await (await ask(job)).json();
      if (mine !== turn) return;
      if (status.state === "failed") throw new Error(status.error);
      show(status);
      if (status.state === "done") return;
      await pause(200);
    }
  }

  // What the page shows

  function announce(text) {
    $("announcement").textContent = text;
  }

  function showStart() {
    forget();
    turn++;
    photo = null;
    phase = "";
    $("file").value = "";
    $("drop").hidden = false;
    for (const id of ["work", "findings", "again"]) $(id).hidden = true;
  }

  function fail(message) {
    const isWorking = !$("work").hidden && phase !== "done" && phase !== "judging";
    if (isWorking) showStart();
    $("error").textContent = message;
    $("error").hidden = false;
    $("error").focus();
  }

  function showWork() {
    phase = "sent";
    drawn = 0;
    for (const id of ["drop", "findings", "canvas", "actions"]) $(id).hidden = true;
    for (const id of ["work", "running", "again"]) $(id).hidden = false;
    $("title").textContent = photo.name;
    $("progress").removeAttribute("value");
    $("phase").textContent = "Reading the photo";
    $("title").focus({ preventScroll: true });
    $("work").scrollIntoView({ block: "nearest" });
    announce(`Changing ${photo.name}`);
  }

  function show(status) {
    const isNew = status.state !== phase;
    phase = status.state;
    if (status.state === "waiting" && status.ahead) $("phase").textContent = `${plural(status.ahead, "photo")} before yours`;
    if (status.state === "changing") showStep(status, isNew);
    if (status.state === "judging" || (status.state === "done" && $("actions").hidden)) showResult(status);
    if (status.state === "done") showVerdicts(status.verdicts);
  }

  function showStep({ step, steps, picture, size }, isNew) {
    if (isNew) showPictures(size);
    if (!step) return;
    $("progress").max = steps;
    $("progress").value = step;
    $("phase").textContent = step < steps ? `Step ${step} of ${steps}` : "Saving it at full size";
    if (picture !== drawn) showPicture("after", `${job}/steps/${picture}.jpg`);
    drawn = picture;
  }

  async function showPictures([width, height]) {
    $("canvas").style.setProperty("--ratio", width / height);
    wipe(50);
    $("after").removeAttribute("src");
    await showPicture("before", `${job}/original.jpg`);
    $("canvas").hidden = false;
  }

  /** Replace a picture once the new one is decoded, so that nothing flickers. */
  async function showPicture(id, address) {
    const image = new Image();
    image.src = address;
    image.alt = $(id).alt;
    const isCurrent = () => job && address.startsWith(job) && !(Number(image.dataset.order) < Number($(id).dataset.order));
    image.dataset.order = address.match(/steps\/(\d+)/)?.[1] ?? 1e9;
    try {
      await image.decode();
    } catch {
      return; // deleted in the meantime
    }
    if (!isCurrent()) return;
    image.id = id;
    $(id).replaceWith(image);
  }

  function showResult({ result, size }) {
    if (!$("actions").hidden) return;
    const hadFocus = document.activeElement === $("cancel") || document.activeElement === $("title");
    if ($("canvas").hidden) showPictures(size);
    showPicture("after", `${job}/result.jpg`);
    $("download").href = `${job}/download`;
    $("running").hidden = true;
    $("actions").hidden = false;
    if (hadFocus) $("download").focus({ preventScroll: true });
    $("findings").hidden = false;
    $("summary").textContent = "Asking the classifiers …";
    const names = [...document.getElementsByName("attack")].map((box) => box.value);
    showTable(names.map((name) => ({ classifier: name, attacked: result.attacked.includes(name) })));
    showFacts(result, size);
    announce("The changed photo is ready. Asking the classifiers.");
  }

  function showFacts(result, [width, height]) {
    const size = (bytes) => (bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);
    const ratio = (result.bytes / result.source_bytes).toFixed(2);
    const facts = [
      ["Name", result.name],
      ["Picture", `${width.toLocaleString("en")} × ${height.toLocaleString("en")} pixels, ${result.format}`],
      ["Size", `${size(result.bytes)}, ${ratio} times the original’s ${size(result.source_bytes)}`],
      ["Likeness", `SSIM ${result.ssim.toFixed(3)} (1: the same), ${result.strength}${result.factor < 1 ? ", weakened to stay close enough to the original in look and size" : ""}`],
      ["Metadata", "without position, serial numbers, maker notes, owner and thumbnail; the rest stays"],
    ];
    if (!result.within_bounds) {
      facts.push(["Note", "It differs more from the original than this strength allows: the file is saved with loss."]);
    }
    for (const note of result.notes) facts.push(["Note", note]);
    $("facts").replaceChildren(...facts.flatMap(([term, text]) => [element("dt", term), element("dd", text)]));
  }

  /** Show what classifiers say; before they are asked, rows without answers keep the room. */
  function showTable(verdicts) {
    const versions = JSON.parse($("verdicts").dataset.versions);
    const head = element("tr", "", [element("th", "classifier"), ...Object.values(versions).map((text) => element("th", text))]);
    for (const cell of head.children) cell.scope = "col";
    $("verdicts").replaceChildren(
      element("thead", "", [head]),
      element("tbody", "", verdicts.map((verdict) => verdictRow(verdict, versions))),
    );
    $("verdicts").ariaBusy = String(!verdicts[0].versions);
  }

  function showVerdicts(verdicts) {
    showTable(verdicts);
    const count = (version, key) => verdicts.filter((verdict) => verdict.versions[version][key]).length;
    const all = verdicts.length;
    $("summary").textContent =
      `${count("file", "changed")} of ${plural(all, "classifier")} give the changed photo another class, ` +
      `${count("social", "changed")} of ${all} after a social network. ` +
      `Enhancement alone changes the class for ${count("file", "alone_changed")} of ${all}.`;
    announce($("summary").textContent);
  }

  function verdictRow({ classifier, attacked, versions: answers }, versions) {
    const name = element("th", "", [element("bdi", classifier), element("small", attacked ? "attacked" : "not attacked")]);
    name.scope = "row";
    const cells = Object.entries(versions).map(([version, text]) => {
      const when = element("span", text);
      when.className = "when";
      if (!answers) return element("td", "", [when, element("span", "…")]);
      const { before, after, alone, changed, left_group: left } = answers[version];
      const said = (answer) => `${answer.name.replaceAll("_", " ")}, ${percent(answer.probability)}`;
      const group = changed && left !== null
        ? [element("small", `${left ? "left" : "still in"} its group (${before.group})`)] : [];
      return element("td", "", [
        when,
        element(changed ? "strong" : "span", changed ? said(after) : `the same: ${said(after)}`),
        element("small", `before: ${said(before)}`),
        ...group,
        ...(alone ? [element("small", `enhancement alone: ${said(alone)}`)] : []),
      ]);
    });
    return element("tr", "", [name, ...cells]);
  }

  function wipe(share) {
    $("wipe").value = share;
    $("wipe").setAttribute("aria-valuetext", `${Math.round(share)} % original`);
    $("canvas").style.setProperty("--wipe", `${share}%`);
  }

  // What people do

  function take(files) {
    if (files && files.length) start(files[0]);
  }

  $("file").addEventListener("change", () => take($("file").files));
  $("wipe").addEventListener("input", () => wipe(Number($("wipe").value)));
  $("cancel").addEventListener("click", () => {
    showStart();
    announce("Cancelled");
    $("file").focus();
  });
  $("another").addEventListener("click", () => {
    showStart();
    $("file").focus();
  });
  $("options").addEventListener("submit", (event) => {
    event.preventDefault();
    if (photo) start(photo);
  });
  $("example").addEventListener("click", async () => {
    try {
      const data = await (await ask("/example.png")).blob();
      start(new File([data], $("example").dataset.name, { type: data.type }));
    } catch (error) {
      fail(error.message);
    }
  });
  document.addEventListener("paste", (event) => take(event.clipboardData.files));
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  for (const kind of ["dragleave", "drop"]) {
    document.addEventListener(kind, () => document.body.classList.remove("dropping"));
  }
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    take(event.dataTransfer.files);
  });
  addEventListener("pagehide", forget);
})();
