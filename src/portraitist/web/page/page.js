// The page of `portraitist serve`. It talks to the service that it came from and to nobody else.
// photo.js comes first.

const CAMERA_SHOWN = "Browsers show the camera to https pages and to this machine only.";

const token = takeToken();
let photo = null; // the file to draw: a Blob with a name
let faces = { width: 1, height: 1, faces: [] };
let styles = [];
let largest = Infinity;
let job = null; // the job that is drawn: its id, null before it has one
let reading = 0; // counts photos, so that a late answer about an earlier one is not shown

// --- Talking to the service ------------------------------------------------------------------------------------------

function takeToken() {
  const found = new URLSearchParams(location.hash.slice(1)).get("token");
  if (found) {
    sessionStorage.setItem("token", found);
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem("token");
}

async function ask(path, options = {}) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch {
    throw new Error("The service does not answer. Is it still running?");
  }
  if (!response.ok) {
    const { error } = await response.json().catch(() => ({ error: { message: response.statusText, cure: "" } }));
    throw new Error(`${error.message} ${error.cure}`.trim());
  }
  return response;
}

async function* events(id) {
  const { body } = await ask(`/jobs/${id}/events`);
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const data = part.split("\n").find((line) => line.startsWith("data: "));
      if (data) yield JSON.parse(data.slice(6));
    }
  }
}

// --- Photo -----------------------------------------------------------------------------------------------------------

async function take(file) {
  complain(null);
  if (file.size > largest) {
    complain(new Error(`The photo is larger than ${Math.floor(largest / 2 ** 20)} MiB. Save a smaller copy.`));
    return;
  }
  const turn = ++reading;
  photo = file;
  faces = { width: 1, height: 1, faces: [] };
  URL.revokeObjectURL(find("photo").src);
  find("photo").src = URL.createObjectURL(file);
  find("preview").hidden = false;
  find("faces").hidden = true;
  find("stage").querySelector("svg")?.remove();
  find("faces-found").textContent = "";
  update();
  say("Looking for faces.");
  try {
    const found = await (await ask("/faces", { method: "POST", body: form({}) })).json();
    if (turn !== reading) return;
    faces = found;
    showFaces();
    say("Ready.");
  } catch (error) {
    if (turn !== reading) return;
    photo = null;
    find("preview").hidden = true;
    update();
    say("Choose another photo.");
    complain(error);
  }
}

function showFaces() {
  const count = faces.faces.length;
  find("faces-found").textContent =
    count === 0 ? "No face was found. An aligned face can be drawn all the same: say so below."
    : count === 1 ? "1 face was found." : `${count} faces were found.`;
  const choices = [["all", "All faces"], ...faces.faces.map((face) => [String(face.number), `Face ${face.number}`])];
  find("face-choices").replaceChildren(...choices.map(([value, text], k) => {
    const radio = make("input", { type: "radio", name: "face", value, checked: k === 0 });
    radio.addEventListener("change", markFace);
    return make("label", {}, radio, ` ${text}`);
  }));
  find("faces").hidden = count < 2;
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", `0 0 ${faces.width} ${faces.height}`);
  svg.setAttribute("aria-hidden", "true"); // the choices above say the same
  for (const face of faces.faces) {
    const shape = document.createElementNS(space, "polygon");
    shape.setAttribute("points", face.corners.map((corner) => corner.join(",")).join(" "));
    shape.dataset.face = face.number;
    shape.addEventListener("click", () => {
      const radio = document.querySelector(`input[name=face][value="${face.number}"]`);
      radio.checked = true;
      markFace();
    });
    svg.append(shape);
  }
  find("stage").append(svg);
  markFace();
}

const chosenFace = () => document.querySelector("input[name=face]:checked")?.value ?? "all";

function markFace() {
  for (const shape of document.querySelectorAll("#stage polygon")) {
    shape.classList.toggle("chosen", chosenFace() === "all" || shape.dataset.face === chosenFace());
  }
}

// --- Styles ----------------------------------------------------------------------------------------------------------

async function loadStyles() {
  const { styles: found, limits } = await (await ask("/styles")).json();
  styles = found;
  largest = limits.upload_bytes;
  const first = styles.find((style) => style.default) ?? styles[0];
  find("styles").replaceChildren(...styles.map((style) => {
    const box = make("input", { type: "checkbox", name: "style", value: style.name, checked: style === first });
    const picture = make("img", { alt: "", width: 128, height: 128 });
    box.addEventListener("change", update);
    showThumbnail(picture, style);
    const title = [style.licence, style.credit].filter(Boolean).join(", ");
    return make("label", { className: "style", title }, picture, box, ` ${style.name}`);
  }));
  update();
}

async function showThumbnail(picture, style) {
  try {
    picture.src = URL.createObjectURL(await (await ask(style.thumbnail)).blob());
  } catch {
    picture.hidden = true; // its name is enough
  }
}

const chosenStyles = () => [...document.querySelectorAll("input[name=style]:checked")].map((box) => box.value);

function update() {
  const chosen = chosenStyles();
  find("draw").disabled = !photo || !chosen.length || job !== null;
  find("mix").disabled = chosen.length < 2;
  const mixes = find("mix").checked && chosen.length > 1;
  find("weights").hidden = !mixes;
  const known = new Map([...find("weights").querySelectorAll("input")].map((range) => [range.name, range.value]));
  if (mixes) find("weights").replaceChildren(...chosen.map((name) => {
    const range = make("input", {
      type: "range", min: "0", max: "1", step: "0.05", name, id: `weight-${name}`, value: known.get(name) ?? "0.5",
    });
    const shown = make("span", { textContent: range.value, ariaHidden: "true" }); // ranges tell their value themselves
    range.addEventListener("input", () => { shown.textContent = range.value; });
    const label = make("label", { htmlFor: range.id, textContent: `Weight of ${name}` });
    return make("p", { className: "slider" }, label, range, shown);
  }));
  const paths = [...new Set(styles.filter((style) => chosen.includes(style.name)).flatMap((style) => style.paths))];
  const before = find("path").value;
  find("path").replaceChildren(...paths.map((path) => make("option", { value: path, textContent: path })));
  if (paths.includes(before)) find("path").value = before;
  find("paths").hidden = !paths.length;
}

find("mix").addEventListener("change", update);
for (const name of ["strength", "detail"]) {
  find(name).addEventListener("input", () => {
    find(`${name}-value`).textContent = Number(find(name).value).toFixed(2);
  });
}
find("refine").addEventListener("input", () => { find("refine-value").textContent = find("refine").value; });

// --- Drawing ---------------------------------------------------------------------------------------------------------

function form(fields) {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    for (const one of [value].flat()) if (one !== "") data.append(name, one);
  }
  data.append("photo", photo, "photo");
  return data;
}

function wanted() {
  const chosen = chosenStyles();
  const weights = [...find("weights").querySelectorAll("input")].map((range) => `${range.name}:${range.value}`);
  return {
    style: find("mix").checked && chosen.length > 1 ? weights.join("+") : chosen,
    attribute: find("paths").hidden ? "" : find("path").value,
    strength: find("strength").value,
    detail: find("detail").value,
    refine: find("refine").value,
    face: chosenFace(),
    aligned: String(find("aligned").checked),
    paste_back: String(find("paste-back").checked),
    sheet: String(find("sheet").checked),
    size: find("size").value,
    format: find("format").value,
  };
}

function showProgress(state) {
  const bar = find("progress");
  if (state.state === "drawing" && state.steps) {
    bar.max = state.steps;
    bar.value = state.step;
  } else {
    bar.removeAttribute("value");
  }
  const number = `${state.faces} ${state.faces === 1 ? "face" : "faces"}`;
  say(
    state.state === "waiting" ? `Waiting: ${state.place} before this one.`
    : !state.faces ? "Looking for faces."
    : state.steps ? `Drawing ${number}: step ${state.step} of ${state.steps}.` : `Drawing ${number}.`,
  );
}

find("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (find("draw").disabled) return;
  complain(null);
  const source = { photo, faces, settings: wanted(), image: null };
  job = "";
  update();
  find("cancel").hidden = find("progress").hidden = false;
  say("Sending the photo.");
  try {
    source.image = await createImageBitmap(photo);
    ({ id: job } = await (await ask("/jobs", { method: "POST", body: form(source.settings) })).json());
    let state = { state: "failed", error: { message: "The service ended the connection.", cure: "Try again." } };
    for await (state of events(job)) showProgress(state);
    if (state.state === "cancelled") {
      say("Cancelled.");
    } else if (state.state === "failed") {
      throw new Error(`${state.error.message} ${state.error.cure}`.trim());
    } else {
      for (const name of state.pictures) {
        const response = await ask(`/jobs/${job}/pictures/${encodeURIComponent(name)}`);
        await showPicture(name, await response.blob(), source);
      }
      say(`Done: ${state.pictures.length} ${state.pictures.length === 1 ? "picture" : "pictures"}.`);
    }
  } catch (error) {
    say("Nothing was drawn.");
    complain(error);
  }
  job = null;
  source.image?.close();
  find("cancel").hidden = find("progress").hidden = true;
  update();
});

find("cancel").addEventListener("click", () => {
  if (job) ask(`/jobs/${job}`, { method: "DELETE" }).catch(complain);
});

// --- Pictures --------------------------------------------------------------------------------------------------------

async function showPicture(name, blob, source) {
  const picture = make("img", { src: URL.createObjectURL(blob) });
  await picture.decode();
  const [, number = "", title] = name.match(/^portrait\.(?:face(\d+)\.)?(.+)\.\w+$/);
  const isSheet = title === "sheet";
  picture.alt = isSheet ? "Sheet of all stages" : `Redrawn in the style ${title.replace(/\.pasted$/, "")}`;
  const stem = (source.photo.name ?? "portrait").replace(/\.[^.]*$/, "");
  const saved = name.replace(/^portrait/, stem);
  const shown = [];
  if (isSheet) {
    shown.push(make("div", { className: "whole" }, picture));
  } else {
    const before = draw(source, Number(number || 1), picture);
    const box = make("div", { className: "compare" }, before, picture);
    const slider = make("input", { type: "range", min: "0", max: "100", value: "0" });
    slider.setAttribute("aria-label", `Compare ${saved}: how much of the photo is shown`);
    slider.addEventListener("input", () => picture.style.setProperty("--cut", `${slider.value}%`));
    shown.push(box, slider);
  }
  const link = make("a", { href: picture.src, download: saved, className: "download", textContent: "Download" });
  link.setAttribute("aria-label", `Download ${saved}`);
  const figure = make("figure", {}, ...shown, make("figcaption", { textContent: saved }), link);
  find("pictures").prepend(figure);
  find("results").hidden = false;
}

// What the picture was drawn from: the photo itself, or the square of its face.
function draw(source, number, picture) {
  const { image, settings } = source;
  const canvas = make("canvas", { width: picture.naturalWidth, height: picture.naturalHeight });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "The photo");
  const context = canvas.getContext("2d");
  if (settings.paste_back === "true") {
    context.drawImage(image, 0, 0, canvas.width, canvas.height);
    return canvas;
  }
  const side = Math.min(image.width, image.height);
  const [left, top] = [(image.width - side) / 2, (image.height - side) / 2];
  const whole = { corners: [[left, top], [left, top + side], [left + side, top + side], [left + side, top]] };
  const wantedNumber = settings.face === "all" ? number : Number(settings.face);
  const found = source.faces.faces.find((face) => face.number === wantedNumber);
  const { corners } = settings.aligned === "true" ? whole : found ?? whole;
  const [[x, y], bottomLeft, , topRight] = corners;
  // Canvas = matrix (photo - corner), where the matrix sends the square's two sides to the canvas's.
  const [a, b, c, d] = [topRight[0] - x, topRight[1] - y, bottomLeft[0] - x, bottomLeft[1] - y];
  const size = canvas.width / (a * d - b * c);
  context.setTransform(d * size, -b * size, -c * size, a * size, 0, 0);
  context.translate(-x, -y);
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0);
  return canvas;
}

find("clear").addEventListener("click", () => {
  for (const picture of document.querySelectorAll("#pictures img")) URL.revokeObjectURL(picture.src);
  find("pictures").replaceChildren();
  find("results").hidden = true;
  find("draw").focus();
});

loadStyles().catch(complain);
