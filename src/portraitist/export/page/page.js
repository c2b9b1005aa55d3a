"use strict";
// The page of `portraitist page`. It asks nothing of anybody: networks are scripts of this folder, photos stay here.
// photo.js and pictures.js of the page of the service come first.

const CAMERA_SHOWN = "Browsers show the camera to files, https pages and this machine only.";
const LARGEST = 4096; // pixels along a photo's longer side; larger ones are shrunk
const { styles, files } = CONTENTS;

let photo = null; // { name, pixels }
let faces = [];
let busy = false;
let reading = 0; // counts photos, so that a late answer about an earlier one is not shown

/** Let the browser show what was said before it computes. */
const shown = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));

// --- Networks: scripts that deliver compressed bytes, so that the page also works when it is opened as a file --------

const waiting = new Map();

/** Called by each script of data. */
function deliver(name, text) {
  waiting.get(name)(text);
}

async function bytesOf(name) {
  const text = await new Promise((resolve, reject) => {
    waiting.set(name, resolve);
    const failed = () => reject(new Error(`${files[name]} is missing. Make the page again.`));
    document.head.append(make("script", { src: files[name], onerror: failed }));
  });
  const packed = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

const once = (work) => {
  const known = new Map();
  return (key) => {
    if (!known.has(key)) {
      const found = work(key);
      found.catch(() => known.delete(key));
      known.set(key, found);
    }
    return known.get(key);
  };
};

const runtime = once(async () => {
  const glue = new Blob([await bytesOf("glue")], { type: "text/javascript" });
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(glue) };
  ort.env.wasm.wasmBinary = await bytesOf("wasm");
  ort.env.logLevel = "error";
});

const network = once(async (name) => {
  await runtime("");
  return ort.InferenceSession.create(await bytesOf(name), { executionProviders: ["wasm"], logSeverityLevel: 3 });
});

const finders = once(async () => {
  const names = ["far", "near", "mesh"], found = {};
  for (const name of names) found[name] = await network(name);
  return found;
});

// --- Photo -----------------------------------------------------------------------------------------------------------

async function pixelsOf(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new Error("The photo cannot be read. Save the picture as PNG, JPEG or WebP.");
  }
  const scale = Math.min(1, LARGEST / Math.max(bitmap.width, bitmap.height));
  const canvas = make("canvas", { width: Math.round(scale * bitmap.width), height: Math.round(scale * bitmap.height) });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#fff"; // what transparent parts show
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return fromImageData(context.getImageData(0, 0, canvas.width, canvas.height));
}

async function take(file) {
  const turn = ++reading;
  complain(null);
  photo = null;
  faces = [];
  URL.revokeObjectURL(find("photo").src);
  find("faces").hidden = true;
  find("stage").querySelector("svg")?.remove();
  find("faces-found").textContent = "";
  update();
  say("Looking for faces.");
  await shown();
  try {
    const pixels = await pixelsOf(file);
    const found = await new FaceSearch(pixels, await finders("")).run();
    if (turn !== reading) return;
    photo = { name: file.name.replace(/\.[^.]*$/, "") || "photo", pixels };
    faces = found;
    find("photo").src = URL.createObjectURL(file);
    find("preview").hidden = false;
    showFaces(pixels, faces.map(({ four }) => ffhqQuad(four)), false);
    update();
    say("Ready.");
  } catch (error) {
    if (turn !== reading) return;
    find("preview").hidden = true;
    say("Choose another photo.");
    complain(error);
  }
}

// --- Styles ----------------------------------------------------------------------------------------------------------

const chosenStyle = () => styles[Number(document.querySelector("input[name=style]:checked").value)];

function showStyles() {
  find("styles").replaceChildren(...styles.map(({ name }, k) => {
    const radio = make("input", { type: "radio", name: "style", value: String(k), checked: k === 0 });
    radio.addEventListener("change", update);
    return make("label", { className: "style" }, radio, ` ${name}`);
  }));
  find("terms").replaceChildren(...[...styles, ...CONTENTS.others].map(({ name, licence, credit }) =>
    make("li", { textContent: [name, licence || "no licence is named", credit].filter(Boolean).join(": ") })));
}

function update() {
  find("method").textContent = {
    painter: "Drawn by a painter: the photo's own pixels, moved and painted over.",
    code: "Drawn by the style's model from a code of the face, as `portraitist stylize --detail 0` does: what the code does not hold is lost.",
  }[chosenStyle().method];
  find("draw").disabled = busy || !photo || !(faces.length || find("aligned").checked);
}

find("aligned").addEventListener("change", update);
find("strength").addEventListener("input", () => {
  find("strength-value").textContent = Number(find("strength").value).toFixed(2);
});

// --- Drawing ---------------------------------------------------------------------------------------------------------

function levelsOf({ data, dims: [, , height, width] }) {
  const found = picture(width, height), area = width * height;
  for (let o = 0, i = 0; i < area; i++) {
    for (let channel = 0; channel < 3; channel++) found.data[o++] = (data[channel * area + i] + 1) * 127.5;
  }
  return found;
}

/** Draw an aligned face, as pixels. */
async function drawn(crop, style, strength) {
  const photos = tensorOf(crop, -1, 1);
  const given = { strength: new ort.Tensor("float32", [strength], [1]) };
  if (style.method === "painter") given.photos = photos;
  else given.codes = (await (await network(style.coder)).run({ photos })).codes;
  return levelsOf((await (await network(style.network)).run(given)).drawings);
}

find("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (find("draw").disabled) return;
  complain(null);
  const style = chosenStyle(), strength = Number(find("strength").value), source = photo;
  const face = find("aligned").checked ? null : faces[Number(chosenFace()) - 1];
  busy = true;
  update();
  say("Drawing.");
  await shown();
  try {
    const crop = face ? aligned(source.pixels, face.four, style.side) : whole(source.pixels, style.side);
    let result = await drawn(crop, style, strength);
    const size = Math.max(style.side, CONTENTS.smallest);
    if (result.width !== size) result = resized(result, size, size, LANCZOS);
    const number = face && chosenFace() !== "1" ? `.face${chosenFace()}` : "";
    await show(`${source.name}${number}.${style.name}.png`, style, crop, result);
    say("Done.");
  } catch (error) {
    say("Nothing was drawn.");
    complain(error);
  } finally {
    busy = false;
    update();
  }
});

async function show(name, style, crop, result) {
  const canvas = toCanvas(result);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  const after = make("img", { src: URL.createObjectURL(blob), width: result.width, height: result.height });
  after.alt = `Redrawn in the style ${style.name}`;
  showPicture(name, blob, after, toCanvas(crop));
}

showStyles();
update();
