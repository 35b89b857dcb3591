"use strict";
// The page's only script. Texts go in by textContent, never as HTML. Nothing is asked of any other host.

const $ = (id) => document.getElementById(id);
const state = { info: null, view: "search", asked: [], unlike: [], found: null, shown: [], starts: [0], following: null };

function make(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

function drawn(symbol, name = "") {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", name);
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#${symbol}`);
  svg.append(use);
  return svg;
}

// ---- asking the server

class Problem extends Error {}

async function ask(path, { method = "GET", form = null, json = null, signal = null } = {}) {
  const headers = json ? { "content-type": "application/json" } : {};
  const body = json ? JSON.stringify(json) : form;
  let answer;
  try {
    answer = await fetch(path, { method, headers, body, signal, credentials: "same-origin" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The server does not answer. Is it still running?");
  }
  if (answer.status === 401 && path !== "/api/login") {
    await enterToken();
    return ask(path, { method, form, json, signal });
  }
  const value = answer.status === 204 ? null : await answer.json().catch((error) => {
    if (error.name === "AbortError") throw error;
    return null;
  });
  if (!answer.ok) throw new Problem(sentence(value?.error ?? `The server answered with ${answer.status}.`));
  return value;
}

function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

let entering = null;
function enterToken() {
  entering ??= new Promise((resolve) => {
    const dialog = $("login");
    $("login-form").onsubmit = async (event) => {
      event.preventDefault();
      try {
        await ask("/api/login", { method: "POST", json: { token: $("token").value } });
      } catch (error) {
        showProblem("login-problem", error.message);
        return;
      }
      $("token").value = "";
      dialog.close();
      entering = null;
      resolve();
    };
    dialog.oncancel = (event) => event.preventDefault();
    dialog.showModal();
  });
  return entering;
}

// ---- what the gallery is

async function loadInfo() {
  const info = (state.info = await ask("/api/info"));
  const about = $("about");
  about.replaceChildren(
    make("strong", {}, info.gallery),
    ` · ${count(info.entries, "entry", "entries")}`,
    info.threshold === null && info.made ? " · no calibration" : "",
  );
  about.title = `model ${info.model}`;
  drawCameras(info);
  drawLabels(info);
  drawThresholds(info);
  drawCompact(info);
  document.title = `${info.gallery} - strongreid`;
}

function count(number, one, many) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

function chip(name, value, text, entries, checked) {
  const box = make("input", { type: "checkbox", name, value });
  box.checked = checked; // not the attribute, to which a reset of the form would go back
  return make("label", { class: "chip", title: count(entries, "entry", "entries") }, box, make("span", {}, text));
}

function checkedValues(name) {
  return [...document.querySelectorAll(`input[name="${CSS.escape(name)}"]:checked`)].map((input) => input.value);
}

function drawCameras(info) {
  const before = new Set(checkedValues("camera"));
  const chips = info.cameras.map((one) =>
    chip("camera", one.value, String(one.value), one.entries, before.has(String(one.value))),
  );
  $("cameras").replaceChildren(...chips);
  $("cameras-part").hidden = !chips.length;
}

function drawLabels(info) {
  const parts = Object.entries(info.label_values).map(([label, values]) => {
    const name = `label-${label}`;
    const before = new Set(checkedValues(name));
    const chips = values
      .slice(0, 16)
      .map((one) => chip(name, `${label}=${one.value}`, String(one.value), one.entries, before.has(`${label}=${one.value}`)));
    return make("fieldset", {}, make("legend", {}, label), make("div", { class: "chips" }, ...chips));
  });
  $("labels").replaceChildren(...parts);
}

function drawThresholds(info) {
  const known = Object.entries(info.thresholds).sort((a, b) => Number(b[0]) - Number(a[0]));
  $("fpr-part").hidden = $("prior-part").hidden = !known.length;
  const chosen = $("fpr").value;
  $("fpr").replaceChildren(
    ...known.map(([rate, threshold]) =>
      make("option", { value: rate, selected: Number(rate) === info.fpr }, `${percent(Number(rate))} of pairs`),
    ),
  );
  if (known.some(([rate]) => rate === chosen)) $("fpr").value = chosen;
}

function percent(share) {
  const hundred = 100 * share;
  if (hundred > 99.9 && hundred < 100) return "> 99.9 %";
  if (hundred > 0 && hundred < 0.01) return "< 0.01 %";
  return `${Number(hundred.toPrecision(hundred < 1 ? 1 : 3))} %`;
}

function drawCompact(info) {
  const left = info.removed_not_compacted ?? 0;
  $("compact-part").hidden = !left;
  $("compact-note").textContent = `${count(left, "removed entry is", "removed entries are")} still on the disk.`;
}

// ---- what is looked for

function addFiles(files) {
  const allowed = state.info?.allowed;
  let last = null;
  for (const file of files) {
    if (allowed && state.asked.filter((one) => one.file).length >= allowed.pictures) {
      toast(`One search takes at most ${allowed.pictures} pictures.`);
      break;
    }
    if (allowed && file.size > allowed.picture_bytes) {
      toast(`${file.name}: ${(file.size / 1e6).toFixed(1)} MB are more than the ${allowed.picture_bytes / 1e6} MB allowed.`);
      continue;
    }
    last = { file, url: URL.createObjectURL(file), box: null };
    state.asked.push(last);
  }
  if (!last) return;
  show("search");
  const added = last;
  const picture = new Image();
  picture.onload = () => {
    // A person standing is taller than wide: anything else is likely a whole scene.
    if (picture.naturalWidth > 1.1 * picture.naturalHeight && picture.naturalWidth > 320) editBox(added);
    else search();
  };
  picture.onerror = () => search();
  picture.src = added.url;
  drawAsked();
}

function drawAsked() {
  const items = state.asked.map((one, number) => {
    const name = one.file ? one.file.name : `entry ${one.id}`;
    const thumb = make("span", { class: "thumb" });
    if (one.file) drawCut(thumb, one);
    else thumb.append(pictureOf(one.entry, 128));
    const drop = make("button", { class: "tiny", type: "button", "aria-label": `Take out ${name}`, title: "Take out" }, drawn("cross"));
    drop.onclick = () => {
      if (one.url) URL.revokeObjectURL(one.url);
      state.asked.splice(number, 1);
      drawAsked();
      search();
      $("files").focus();
    };
    const cut = one.file
      ? make("button", { class: "tiny crop", type: "button", "aria-label": `Draw a box in ${name}`, title: "Draw a box" }, drawn("crop"))
      : null;
    if (cut) cut.onclick = () => editBox(one);
    return make("li", { title: name }, thumb, cut, drop, make("small", {}, one.file ? (one.box ? "a box of it" : "") : `entry ${one.id}`));
  });
  $("asked").replaceChildren(...items);
  const away = state.unlike.map((entry, number) => {
    const drop = make("button", { class: "tiny", type: "button", "aria-label": `Take out entry ${entry.id}`, title: "Take out" }, drawn("cross"));
    drop.onclick = () => {
      state.unlike.splice(number, 1);
      drawAsked();
      search();
    };
    return make("li", {}, make("span", { class: "thumb away" }, pictureOf(entry, 128)), drop, make("small", {}, `entry ${entry.id}`));
  });
  $("unlike").replaceChildren(...away);
  $("unlike-part").hidden = !away.length;
  $("asked-buttons").hidden = !items.length;
  $("enrol-button").hidden = !state.asked.some((one) => one.file);
  $("combine-part").hidden = items.length < 2;
}

function drawCut(thumb, one) {
  const picture = new Image();
  picture.alt = "";
  if (!one.box) {
    picture.src = one.url;
    thumb.append(picture);
    return;
  }
  picture.onload = () => {
    const canvas = document.createElement("canvas");
    const scale = Math.min(1, 256 / Math.max(one.box.width, one.box.height));
    canvas.width = Math.max(1, Math.round(one.box.width * scale));
    canvas.height = Math.max(1, Math.round(one.box.height * scale));
    const { left, top, width, height } = one.box;
    canvas.getContext("2d").drawImage(picture, left, top, width, height, 0, 0, canvas.width, canvas.height);
    canvas.toBlob((blob) => {
      if (!blob) return;
      const cut = new Image();
      cut.alt = "";
      cut.onload = () => URL.revokeObjectURL(cut.src);
      cut.src = URL.createObjectURL(blob);
      thumb.replaceChildren(cut);
    }, "image/jpeg");
  };
  picture.src = one.url;
}

function pictureOf(entry, size) {
  if (!entry.picture) return drawn("person", "nobody");
  const picture = make("img", { src: `/api/entries/${entry.id}/picture?size=${size}`, alt: "", loading: "lazy", decoding: "async" });
  picture.onerror = () => picture.replaceWith(drawn("person", "nobody"));
  return picture;
}

function lookFor(entry, alone) {
  if (alone) {
    clearAsked();
  }
  if (!state.asked.some((one) => one.id === entry.id)) state.asked.push({ id: entry.id, entry });
  state.unlike = state.unlike.filter((one) => one.id !== entry.id);
  show("search");
  drawAsked();
  search();
}

function notLike(entry) {
  if (!state.asked.length) {
    toast("Look for somebody first; then say who it is not.");
    return;
  }
  if (state.unlike.some((one) => one.id === entry.id)) return;
  state.asked = state.asked.filter((one) => one.id !== entry.id);
  state.unlike.push(entry);
  show("search");
  drawAsked();
  search();
}

function clearAsked() {
  for (const one of state.asked) if (one.url) URL.revokeObjectURL(one.url);
  state.asked = [];
  state.unlike = [];
  state.found = null;
}

// ---- filters and options, and the search itself

function filters() {
  return {
    cameras: checkedValues("camera"),
    identities: $("identities").value.split(/[\s,;]+/).filter(Boolean),
    since: $("since").value.trim(),
    before: $("before").value.trim(),
    where: [...document.querySelectorAll('#labels input:checked')].map((input) => input.value),
  };
}

function filled(target) {
  let active = 0;
  for (const [name, value] of Object.entries(filters())) {
    const values = Array.isArray(value) ? value : value ? [value] : [];
    for (const one of values) target.append(name, one);
    active += values.length ? 1 : 0;
  }
  $("filters-note").textContent = active ? `${active} on` : "";
  return target;
}

let running = null;
function stop() {
  // an answer that is still under way must not be drawn over what was chosen since
  running?.abort();
  running = null;
  $("stage").removeAttribute("aria-busy");
}

async function search() {
  if (state.view !== "search") return;
  stop();
  if (!state.asked.length) {
    state.found = null;
    draw();
    return;
  }
  const own = (running = new AbortController());
  const form = filled(new FormData());
  for (const one of state.asked) {
    if (one.file) {
      form.append("pictures", one.file, "picture");
      form.append("boxes", one.box ? [one.box.left, one.box.top, one.box.width, one.box.height].join(",") : "");
    } else form.append("entries", one.id);
  }
  for (const entry of state.unlike) form.append("unlike", entry.id);
  form.append("top_k", $("top_k").value);
  form.append("combine", $("combine").value);
  form.append("rerank", $("rerank").checked ? "k_reciprocal" : "");
  if (!$("fpr-part").hidden) {
    form.append("fpr", $("fpr").value);
    form.append("prior", $("prior").value || "0.5");
  }
  await working(async () => {
    const found = await ask("/api/search", { method: "POST", form, signal: own.signal });
    if (own !== running) return;
    state.found = found;
    draw();
  }, search);
}

async function browse() {
  stop();
  const own = (running = new AbortController());
  const query = filled(new URLSearchParams({ start: state.starts.at(-1), limit: 60 }));
  await working(async () => {
    const page = await ask(`/api/entries?${query}`, { signal: own.signal });
    if (own !== running) return;
    state.page = page;
    state.following = page.following;
    draw();
  }, browse);
}

function refresh() {
  return state.view === "search" ? search() : browse();
}

async function working(work, again) {
  const stage = $("stage");
  const own = running;
  stage.setAttribute("aria-busy", "true");
  $("problem").hidden = true;
  const late = setTimeout(() => {
    if (own === running && !$("cards").children.length) drawGhosts();
  }, 150);
  try {
    await work();
  } catch (error) {
    if (error.name === "AbortError" || own !== running) return;
    if (!(error instanceof Problem)) throw error;
    state.found = state.page = null;
    draw();
    $("empty").replaceChildren();
    showProblem("problem", error.message);
    $("problem-again").onclick = again;
  } finally {
    clearTimeout(late);
    if (own === running) stage.removeAttribute("aria-busy");
  }
}

function showProblem(id, text) {
  const where = $(id);
  where.hidden = false;
  ($(`${id}-text`) ?? where).textContent = text;
}

// ---- drawing the stage

function drawGhosts() {
  $("empty").replaceChildren();
  $("cards").replaceChildren(...Array.from({ length: 12 }, () => make("li", { class: "ghost", "aria-hidden": "true" })));
}

function draw() {
  const searching = state.view === "search";
  $("verdict").hidden = $("pager").hidden = true;
  $("empty").replaceChildren();
  $("cards").setAttribute("aria-label", searching ? "Matches, best first" : "Entries");
  if (searching) drawFound(state.found);
  else drawPage(state.page);
}

function drawFound(found) {
  if (!found) {
    $("cards").replaceChildren();
    drawWelcome();
    return;
  }
  $("verdict").hidden = false;
  const first = found.matches[0];
  const calibrated = found.threshold !== null;
  const answer = [answerText(found)];
  if (first && first.known && first.probability !== null) answer.push(" ", make("span", { class: "sure" }, percent(first.probability)));
  $("answer").replaceChildren(...answer);
  const notes = [];
  if (found.matches.length && !calibrated) notes.push("No calibration: the nearest is always somebody.");
  if (calibrated) notes.push(`Unknown beyond a ${found.metric} distance of ${found.threshold.toFixed(3)}, which ${percent(found.fpr)} of pairs of different people pass.`);
  if (calibrated && found.prior !== 0.5) notes.push(`Prior ${found.prior}.`);
  notes.push(`${count(found.matches.length, "match", "matches")} in ${found.seconds.toFixed(2)} s.`);
  $("answer-note").textContent = notes.join(" ");
  $("export").hidden = !found.matches.length;
  $("export").href = `/api/results/${found.result}.csv`;
  const ordered = found.matches.every((one, i, all) => !i || all[i - 1].known !== false || one.known === false);
  const items = [];
  let lined = !calibrated;
  for (const match of found.matches) {
    if (!lined && ordered && match.known === false) {
      const text = items.length ? "Unknown from here on: these are too far to be the same person" : "Nobody here is near enough: these are the nearest";
      items.push(make("li", { class: "line", role: "separator" }, make("span", {}, text)));
      lined = true;
    }
    items.push(cardOf(match));
  }
  if (!ordered) notes.push("Re-ranked, known and unknown take turns.");
  $("answer-note").textContent = notes.join(" ");
  $("cards").replaceChildren(...items);
  if (!found.matches.length) drawEmpty("search", "Nobody passes the filters", "Take a filter away, or look at what there is under Browse.");
}

function answerText(found) {
  if (!found.matches.length) return "Nobody";
  if (found.answer === "unknown") return "Unknown";
  const who = found.answer === "-" ? "Somebody without an identity" : `Identity ${found.answer}`;
  return found.threshold === null ? `Nearest: ${who}` : who;
}

function drawPage(page) {
  const entries = page?.entries ?? [];
  $("cards").replaceChildren(...entries.map((entry) => cardOf(entry)));
  if (page && !entries.length) {
    if (state.info?.entries) drawEmpty("search", "No entry passes the filters", "Take a filter away to see more.");
    else drawWelcome();
  }
  $("pager").hidden = !page || (state.starts.length === 1 && state.following === null);
  $("back").disabled = state.starts.length === 1;
  $("next").disabled = state.following === null;
  $("pager-note").textContent = `page ${state.starts.length}`;
}

function drawWelcome() {
  if (!state.info) return;
  if (!state.info.entries) drawEmpty("person", "The gallery is empty", "Choose pictures of a person, then Enrol. Or fill it on the command line with strongreid gallery add.");
  else drawEmpty("picture", "Who is it?", "Choose, drop or paste a picture of a person. In a picture of a whole scene, draw a box around them. Or pick an entry under Browse.");
}

function drawEmpty(symbol, title, text) {
  $("empty").replaceChildren(drawn(symbol), make("h2", {}, title), make("p", {}, text));
}

function cardOf(entry) {
  const match = entry.rank !== undefined;
  const unknown = match && entry.known === false;
  const who = entry.identity < 0 ? "no identity" : String(entry.identity);
  const share = match ? (entry.probability === null ? entry.score.toFixed(3) : percent(entry.probability)) : "";
  const sub = [`cam ${entry.camera}`];
  if (entry.time !== null) sub.push(shortTime(entry.time_text));
  if (match && entry.probability !== null) sub.push(entry.score.toFixed(3));
  const label = [
    match ? `Rank ${entry.rank}: ` : "",
    unknown ? "unknown, nearest is " : "",
    entry.identity < 0 ? "an entry without identity" : `identity ${entry.identity}`,
    `, camera ${entry.camera}`,
    match && entry.probability !== null ? `, probability ${percent(entry.probability)}` : "",
  ].join("");
  const card = make(
    "button",
    { class: "card", type: "button", "aria-label": label, "data-id": entry.id, onclick: () => openDetail(entry) },
    make("span", { class: "thumb" }, pictureOf(entry, 256), match ? make("span", { class: "rank" }, String(entry.rank)) : null),
    make(
      "span",
      { class: "text" },
      make("span", { class: "who" }, make("span", {}, who), make("span", { class: "share" }, share)),
      match && entry.probability !== null ? bar(entry.probability) : null,
      make("span", { class: "sub" }, sub.join(" · ")),
    ),
  );
  card.entry = entry;
  return make("li", { class: unknown ? "unknown" : "" }, card);
}

function bar(share) {
  const inner = make("i", {});
  inner.style.width = `${(100 * share).toFixed(1)}%`;
  return make("span", { class: "bar" }, inner);
}

function shortTime(text) {
  return text.replace("T", " ").replace(/(:\d\d)?Z$/, "");
}

// ---- one entry

let opened = null;
function openDetail(entry) {
  opened = entry;
  $("detail-title").textContent = entry.identity < 0 ? `Entry ${entry.id}` : `Identity ${entry.identity}`;
  $("detail-picture").replaceChildren(pictureOf(entry, 768));
  const facts = [["entry", entry.id]];
  if (entry.rank !== undefined) {
    facts.push(["rank", entry.rank], ["who", entry.who], ["score", entry.score.toFixed(4)], ["distance", entry.distance.toFixed(4)]);
    if (entry.probability !== null) facts.push(["probability", entry.probability.toFixed(4)]);
    if (entry.reranked !== null) facts.push(["re-ranked", entry.reranked.toFixed(4)]);
  }
  facts.push(["camera", entry.camera]);
  if (entry.time !== null) facts.push(["time", entry.time_text]);
  if (entry.track !== null) facts.push(["track", entry.track]);
  for (const [name, value] of Object.entries(entry.labels)) facts.push([name, value]);
  facts.push(["path", entry.path || "picture not kept"]);
  $("detail-facts").replaceChildren(...facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, String(value))]));
  $("detail-remove-all").hidden = entry.identity < 0;
  $("detail-remove-all").textContent = `Remove all of identity ${entry.identity}…`;
  $("detail-add").hidden = $("detail-unlike").hidden = !state.asked.length;
  $("detail").showModal();
}

function detailButton(id, work) {
  $(id).onclick = () => {
    $("detail").close();
    work(opened);
  };
}
detailButton("detail-search", (entry) => lookFor(entry, true));
detailButton("detail-add", (entry) => lookFor(entry, false));
detailButton("detail-unlike", notLike);
detailButton("detail-remove", (entry) => confirmRemoval({ ids: [entry.id] }, `Remove entry ${entry.id}?`));
detailButton("detail-remove-all", (entry) => confirmRemoval({ identity: entry.identity }, `Remove all entries of identity ${entry.identity}?`));

function confirmRemoval(what, title) {
  $("confirm-title").textContent = title;
  $("confirm-problem").hidden = true;
  $("confirm-compact-part").hidden = state.info.removed_not_compacted === null;
  $("confirm-form").onsubmit = async (event) => {
    event.preventDefault();
    $("confirm-do").disabled = true;
    try {
      const answer = await ask("/api/remove", { method: "POST", json: what });
      if ($("confirm-compact").checked && answer.removed) await ask("/api/compact", { method: "POST" });
      $("confirm").close();
      const left = answer.pictures_left ? ` ${count(answer.pictures_left, "kept picture", "kept pictures")} could not be deleted.` : "";
      toast(`${count(answer.removed, "entry", "entries")} removed.${left}`);
      const gone = (entry) => what.ids?.includes(entry.id) || (what.identity !== undefined && entry.identity === what.identity);
      state.asked = state.asked.filter((one) => one.file || !gone(one.entry));
      state.unlike = state.unlike.filter((entry) => !gone(entry));
      drawAsked();
      await loadInfo();
      await refresh();
      $("stage").focus();
    } catch (error) {
      showProblem("confirm-problem", error.message);
    } finally {
      $("confirm-do").disabled = false;
    }
  };
  $("confirm").showModal();
}

// ---- enrolling

function openEnrol() {
  const files = state.asked.filter((one) => one.file).length;
  if (!files) {
    toast("Choose pictures first.");
    return;
  }
  $("enrol-title").textContent = files === 1 ? "Enrol this picture" : `Enrol these ${files} pictures`;
  $("enrol-note").textContent = state.info.uploads_kept
    ? "Pictures are kept with the gallery's, without their metadata."
    : "Only features are kept, not the pictures: the server was started without --keep.";
  $("enrol-problem").hidden = true;
  const suggestion = state.found?.answer;
  $("enrol-identity").value = /^\d+$/.test(suggestion ?? "") && state.found.threshold !== null ? suggestion : "";
  $("enrol-labels").replaceChildren(
    ...Object.entries(state.info.labels).map(([name, kind]) =>
      make("label", { class: "field" }, make("span", {}, name), make("input", { type: "text", "data-label": name, placeholder: { whole: "a whole number", flag: "true or false" }[kind] ?? "" })),
    ),
  );
  $("enrol").showModal();
  $("enrol-identity").focus();
}

$("enrol-form").onsubmit = async (event) => {
  event.preventDefault();
  const form = new FormData();
  for (const one of state.asked.filter((asked) => asked.file)) {
    form.append("pictures", one.file, "picture");
    form.append("boxes", one.box ? [one.box.left, one.box.top, one.box.width, one.box.height].join(",") : "");
  }
  form.append("identity", $("enrol-identity").value || "-1");
  form.append("camera", $("enrol-camera").value);
  form.append("time", $("enrol-time").value);
  form.append("track", $("enrol-track").value);
  for (const input of document.querySelectorAll("[data-label]")) if (input.value.trim()) form.append("labels", `${input.dataset.label}=${input.value.trim()}`);
  for (const text of $("enrol-more").value.split(",").map((part) => part.trim()).filter(Boolean)) form.append("labels", text);
  $("enrol-do").disabled = true;
  try {
    const answer = await ask("/api/enrol", { method: "POST", form });
    $("enrol").close();
    toast(`${count(answer.ids.length, "entry", "entries")} enrolled.`);
    await loadInfo();
    await refresh();
  } catch (error) {
    showProblem("enrol-problem", error.message);
  } finally {
    $("enrol-do").disabled = false;
  }
};

// ---- the box

const drawing = { one: null, from: null, box: null };

function editBox(one) {
  drawing.one = one;
  drawing.box = one.box ? { ...one.box } : null;
  const picture = $("boxes-picture");
  picture.onload = () => drawBox();
  picture.src = one.url;
  $("boxes").showModal();
}

function scale() {
  return $("boxes-picture").naturalWidth / $("boxes-picture").clientWidth || 1;
}

function drawBox(numbers = true) {
  const { box } = drawing;
  const shown = box && box.width > 0 && box.height > 0;
  $("box").hidden = !shown;
  $("box-use").disabled = !shown || box.width < 4 || box.height < 4;
  if (shown) {
    for (const name of ["left", "top", "width", "height"]) $("box").style[name] = `${box[name] / scale()}px`;
  }
  if (numbers) for (const name of ["left", "top", "width", "height"]) $(`box-${name}`).value = shown ? box[name] : "";
}

function spot(event) {
  const place = $("canvas").getBoundingClientRect();
  const clamp = (value, most) => Math.min(Math.max(Math.round(value * scale()), 0), most);
  const picture = $("boxes-picture");
  return [clamp(event.clientX - place.left, picture.naturalWidth), clamp(event.clientY - place.top, picture.naturalHeight)];
}

function between([ax, ay], [bx, by]) {
  return { left: Math.min(ax, bx), top: Math.min(ay, by), width: Math.abs(ax - bx), height: Math.abs(ay - by) };
}

$("canvas").addEventListener("pointerdown", (event) => {
  drawing.from = spot(event);
  $("canvas").setPointerCapture(event.pointerId);
  event.preventDefault();
});
$("canvas").addEventListener("pointermove", (event) => {
  if (!drawing.from) return;
  drawing.box = between(drawing.from, spot(event));
  drawBox();
});
for (const name of ["pointerup", "pointercancel"]) $("canvas").addEventListener(name, () => (drawing.from = null));
for (const name of ["left", "top", "width", "height"]) {
  $(`box-${name}`).addEventListener("input", () => {
    const picture = $("boxes-picture");
    const value = (part) => Math.max(0, Math.round(Number($(`box-${part}`).value) || 0));
    const left = Math.min(value("left"), picture.naturalWidth);
    const top = Math.min(value("top"), picture.naturalHeight);
    drawing.box = { left, top, width: Math.min(value("width"), picture.naturalWidth - left), height: Math.min(value("height"), picture.naturalHeight - top) };
    drawBox(false);
  });
}
function endBox(box) {
  drawing.one.box = box;
  $("boxes").close();
}
$("box-use").onclick = () => endBox({ ...drawing.box });
$("box-whole").onclick = () => endBox(null);
$("boxes").addEventListener("close", () => {
  drawAsked();
  search();
});

// ---- views, toasts, theme

function show(view) {
  if (state.view === view) return;
  state.view = view;
  stop();
  $("problem").hidden = true;
  for (const name of ["search", "browse"]) {
    if (name === view) $(`view-${name}`).setAttribute("aria-current", "page");
    else $(`view-${name}`).removeAttribute("aria-current");
  }
  $("options-part").hidden = view === "browse";
  if (view === "browse") {
    state.starts = [0];
    browse();
  } else draw();
}

function toast(text) {
  const one = make("p", { class: "toast" }, text);
  $("toasts").append(one);
  setTimeout(() => one.remove(), 6000);
}

function changeTheme() {
  const dark = document.documentElement.dataset.theme
    ? document.documentElement.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "light" : "dark";
  remember("theme", document.documentElement.dataset.theme);
}

function remember(name, value) {
  try {
    localStorage.setItem(`strongreid-${name}`, value);
  } catch {
    // private windows may forbid it
  }
}

function remembered(name) {
  try {
    return localStorage.getItem(`strongreid-${name}`);
  } catch {
    return null;
  }
}

// ---- what is pressed, dropped, pasted

let pending = null;
function soon() {
  clearTimeout(pending);
  pending = setTimeout(() => {
    state.starts = [0];
    filled(new FormData());
    refresh();
  }, 250);
}

$("files").addEventListener("change", () => {
  addFiles([...$("files").files]);
  $("files").value = "";
});
$("files").addEventListener("focus", () => $("drop").classList.toggle("focused", $("files").matches(":focus-visible")));
$("files").addEventListener("blur", () => $("drop").classList.remove("focused"));
$("filters").addEventListener("input", soon);
$("filters").addEventListener("reset", () => setTimeout(soon));
$("options").addEventListener("input", soon);
for (const id of ["filters", "options"]) {
  $(id).addEventListener("submit", (event) => {
    event.preventDefault();
    refresh();
  });
}
$("search-button").onclick = () => {
  show("search");
  search();
};
$("enrol-button").onclick = openEnrol;
$("clear-button").onclick = () => {
  stop();
  clearAsked();
  drawAsked();
  show("search");
  draw();
  $("files").focus();
};
$("view-search").onclick = () => show("search");
$("view-browse").onclick = () => show("browse");
$("theme-button").onclick = changeTheme;
$("help-button").onclick = () => $("help").showModal();
$("next").onclick = () => {
  state.starts.push(state.following);
  browse().then(() => scrollTo({ top: 0 }));
};
$("back").onclick = () => {
  state.starts.pop();
  browse();
};
$("compact-button").onclick = async () => {
  $("compact-button").disabled = true;
  try {
    await ask("/api/compact", { method: "POST" });
    toast("Compacted: nothing of what was removed is left in the gallery's files.");
    await loadInfo();
  } catch (error) {
    toast(error.message);
  } finally {
    $("compact-button").disabled = false;
  }
};
for (const button of document.querySelectorAll("[data-close]")) button.onclick = () => button.closest("dialog").close();
for (const dialog of document.querySelectorAll("dialog:not(#login)")) {
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog && event.detail) dialog.close(); // beside it
  });
}

let depth = 0;
const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
addEventListener("dragenter", (event) => {
  if (!hasFiles(event)) return;
  depth += 1;
  $("over").hidden = false;
});
addEventListener("dragleave", (event) => {
  if (!hasFiles(event)) return;
  depth -= 1;
  $("over").hidden = depth > 0 ? false : true;
});
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  depth = 0;
  $("over").hidden = true;
  const files = [...(event.dataTransfer?.files ?? [])];
  if (files.length) addFiles(files);
});
addEventListener("paste", (event) => {
  const files = [...(event.clipboardData?.files ?? [])];
  if (files.length) addFiles(files);
});

const cardsThere = () => [...document.querySelectorAll("#cards .card")];

function move(from, key) {
  const all = cardsThere();
  const here = all.indexOf(from);
  if (key === "ArrowRight") return all[here + 1];
  if (key === "ArrowLeft") return all[here - 1];
  const down = key === "ArrowDown";
  const place = from.getBoundingClientRect();
  const rows = all
    .map((card) => ({ card, at: card.getBoundingClientRect() }))
    .filter(({ at }) => (down ? at.top > place.top + 5 : at.top < place.top - 5));
  if (!rows.length) return null;
  const next = down ? Math.min(...rows.map(({ at }) => at.top)) : Math.max(...rows.map(({ at }) => at.top));
  const near = rows.filter(({ at }) => Math.abs(at.top - next) < 5);
  near.sort((a, b) => Math.abs(a.at.left - place.left) - Math.abs(b.at.left - place.left));
  return near[0].card;
}

const onCard = {
  l: (entry) => lookFor(entry, true),
  n: notLike,
  Delete: (entry) => confirmRemoval({ ids: [entry.id] }, `Remove entry ${entry.id}?`),
};
const anywhere = {
  u: () => $("files").click(),
  r: () => $("rerank").click(),
  f: () => {
    $("filters-part").open = true;
    ($("cameras").querySelector("input") ?? $("identities")).focus();
  },
  g: () => cardsThere()[0]?.focus(),
  e: openEnrol,
  x: () => $("export").hidden || $("verdict").hidden || $("export").click(),
  s: () => show("search"),
  b: () => show("browse"),
  c: () => $("clear-button").click(),
  t: changeTheme,
  "?": () => $("help").showModal(),
};
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.target.matches('input:not([type="checkbox"]):not([type="file"]), select, textarea')) return;
  const card = event.target.closest?.(".card");
  let work = null;
  if (card && event.key.startsWith("Arrow")) work = () => move(card, event.key)?.focus();
  else if (card && onCard[event.key]) work = () => onCard[event.key](card.entry);
  else work = anywhere[event.key];
  if (!work) return;
  event.preventDefault();
  work();
});

// ---- begin

const theme = remembered("theme");
if (theme) document.documentElement.dataset.theme = theme;
if (matchMedia("(max-width: 820px)").matches) $("filters-part").open = $("options-part").open = false;
async function begin() {
  await loadInfo();
  draw();
}
begin().catch((error) => {
  showProblem("problem", error.message);
  $("problem-again").onclick = () => location.reload();
});
