// What the page of the service and the offline page have in common: the faces of the photo, and the pictures drawn of it.

// --- Faces -----------------------------------------------------------------------------------------------------------

const chosenFace = () => document.querySelector("input[name=face]:checked")?.value ?? "all";

/** Offer the faces of a photo: each by the corners of its square, the largest first. */
function showFaces({ width, height }, squares, withAll) {
  const count = squares.length;
  find("faces-found").textContent =
    count === 0 ? "No face was found. An aligned face can be drawn all the same: say so below."
    : count === 1 ? "1 face was found." : `${count} faces were found.`;
  const choices = squares.map((_, k) => [String(k + 1), `Face ${k + 1}`]);
  if (withAll) choices.unshift(["all", "All faces"]);
  find("face-choices").replaceChildren(...choices.map(([value, text], k) => {
    const radio = make("input", { type: "radio", name: "face", value, checked: k === 0 });
    radio.addEventListener("change", markFace);
    return make("label", {}, radio, ` ${text}`);
  }));
  find("faces").hidden = count < 2;
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("aria-hidden", "true"); // the choices say the same
  squares.forEach((corners, k) => {
    const shape = document.createElementNS(space, "polygon");
    shape.setAttribute("points", corners.map((corner) => corner.join(",")).join(" "));
    shape.dataset.face = k + 1;
    shape.addEventListener("click", () => {
      document.querySelector(`input[name=face][value="${k + 1}"]`).checked = true;
      markFace();
    });
    svg.append(shape);
  });
  find("stage").append(svg);
  markFace();
}

function markFace() {
  for (const shape of document.querySelectorAll("#stage polygon")) {
    shape.classList.toggle("chosen", ["all", shape.dataset.face].includes(chosenFace()));
  }
}

// --- Pictures --------------------------------------------------------------------------------------------------------

const drawings = []; // [name, Blob] of each picture on the page, the oldest first

/** Show a picture, over what it was drawn from where that is given as a canvas. */
function showPicture(name, blob, picture, before) {
  drawings.push([name, blob]);
  const shown = [make("div", { className: before ? "compare" : "whole" }, ...(before ? [before] : []), picture)];
  if (before) {
    before.setAttribute("role", "img");
    before.setAttribute("aria-label", "The photo");
    const slider = make("input", { type: "range", min: "0", max: "100", value: "0" });
    slider.setAttribute("aria-label", `Compare ${name}: how much of the photo is shown`);
    slider.addEventListener("input", () => picture.style.setProperty("--cut", `${slider.value}%`));
    shown.push(slider);
  }
  const link = make("a", { href: picture.src, download: name, className: "download", textContent: "Download" });
  link.setAttribute("aria-label", `Download ${name}`);
  find("pictures").prepend(make("figure", {}, ...shown, make("figcaption", { textContent: name }), link));
  find("results").hidden = false;
}

find("clear").addEventListener("click", () => {
  for (const picture of document.querySelectorAll("#pictures img")) URL.revokeObjectURL(picture.src);
  drawings.length = 0;
  find("pictures").replaceChildren();
  find("results").hidden = true;
  find("file").focus();
});

find("save-all").addEventListener("click", async () => {
  const address = URL.createObjectURL(await zipOf(drawings));
  make("a", { href: address, download: "portraits.zip" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
});

// --- ZIP: files as they are, as no packing makes pictures smaller ----------------------------------------------------

const REMAINDERS = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
  return n;
});

function crc32(bytes) {
  let crc = -1;
  for (const byte of bytes) crc = REMAINDERS[(crc ^ byte) & 255] ^ (crc >>> 8);
  return ~crc;
}

const short = (n) => [n & 255, (n >> 8) & 255];
const long = (n) => [...short(n), ...short(n >> 16)];

async function zipOf(files) {
  const parts = [], directory = [], used = new Set();
  let length = 0;
  for (const [name, blob] of files) {
    let unique = name;
    for (let k = 2; used.has(unique); k++) unique = name.replace(/(\.\w+)$/, ` (${k})$1`);
    used.add(unique);
    const title = new TextEncoder().encode(unique), bytes = new Uint8Array(await blob.arrayBuffer());
    const about = [
      ...short(20), ...short(0x800), ...short(0), ...short(0), ...short(33), // version, UTF-8, stored, 1 January 1980
      ...long(crc32(bytes)), ...long(bytes.length), ...long(bytes.length), ...short(title.length), ...short(0),
    ];
    directory.push(Uint8Array.from([80, 75, 1, 2, ...short(20), ...about, ...Array(10).fill(0), ...long(length)]), title);
    parts.push(Uint8Array.from([80, 75, 3, 4, ...about]), title, bytes);
    length += 30 + title.length + bytes.length;
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0), count = short(files.length);
  const end = [80, 75, 5, 6, 0, 0, 0, 0, ...count, ...count, ...long(size), ...long(length), 0, 0];
  return new Blob([...parts, ...directory, Uint8Array.from(end)], { type: "application/zip" });
}
