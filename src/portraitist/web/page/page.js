// The page of `portraitist serve`. It talks to the service that it came from and to nobody else.
// photo.js and pictures.js come first.

const CAMERA_SHOWN = "Browsers show the camera to https pages and to this machine only.";

const token = takeToken();
let photo = null; // the file to draw: a Blob with a name
let view = null; // the same as this browser can show it; null until its faces are known
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
  [photo, view] = [file, null];
  faces = { width: 1, height: 1, faces: [] };
  URL.revokeObjectURL(find("photo").src);
  find("preview").hidden = true;
  find("faces").hidden = true;
  find("stage").querySelector("svg")?.remove();
  find("faces-found").textContent = "";
  update();
  say("Looking for faces.");
  try {
    const [answer] = await Promise.all([
      ask("/faces", { method: "POST", body: form({}) }),
      viewOf(file).then((found) => turn === reading && showPhoto(found)),
    ]);
    const found = await answer.json();
    if (turn !== reading) return;
    faces = found;
    showFaces(faces, faces.faces.map((face) => face.corners), true);
    say("Ready.");
  } catch (error) {
    if (turn !== reading) return;
    reading++;
    [photo, view] = [null, null];
    find("preview").hidden = true;
    update();
    say("Choose another photo.");
    complain(error);
  }
}

function showPhoto(found) {
  view = found;
  find("photo").src = URL.createObjectURL(view);
  find("preview").hidden = false;
  update();
}

/** Return the photo as this browser can show it; what it cannot, such as HEIC and TIFF, the service turns into JPEG. */
async function viewOf(file) {
  try {
    (await createImageBitmap(file)).close();
    return file;
  } catch {
    return (await ask("/preview", { method: "POST", body: form({}) })).blob();
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
  find("draw").disabled = !view || !chosen.length || job !== null;
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
  const source = { photo, view, faces, settings: wanted(), image: null };
  job = "";
  update();
  find("cancel").hidden = find("progress").hidden = false;
  say("Sending the photo.");
  try {
    source.image = await createImageBitmap(source.view);
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
        await show(name, await response.blob(), source);
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

async function show(name, blob, source) {
  const picture = make("img", { src: URL.createObjectURL(blob) });
  await picture.decode();
  const [, number = "", title] = name.match(/^portrait\.(?:face(\d+)\.)?(.+)\.\w+$/);
  const isSheet = title === "sheet";
  picture.alt = isSheet ? "Sheet of all stages" : `Redrawn in the style ${title.replace(/\.pasted$/, "")}`;
  const stem = (source.photo.name ?? "portrait").replace(/\.[^.]*$/, "");
  showPicture(name.replace(/^portrait/, stem), blob, picture, isSheet ? null : draw(source, Number(number || 1), picture));
}

// What the picture was drawn from: the photo itself, or the square of its face.
function draw(source, number, picture) {
  const { image, settings } = source;
  const canvas = make("canvas", { width: picture.naturalWidth, height: picture.naturalHeight });
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

loadStyles().catch(complain);
