"use strict";
// Finds faces as the command does (faces/detect.py), but not in ever smaller tiles: a face must fill about a tenth of the
// photo. `networks` are sessions: far and near see boxes, mesh sees the points of one face.

const CONFIDENCE = 0.5, CROP_BOXES = 3, MESH_BOXES = 1.5, SURELY_UPRIGHT = 0.85, UPRIGHT = 0.35, LEVEL = 0.1;
const SAME_BOX = 0.3, SAME_FACE = 0.4, QUARTERS = [0, 1, 2, -1];
const SIDES = { far: 192, near: 128, mesh: 192 };
const GRIDS = { far: [[48, 1]], near: [[16, 2], [8, 6]] };
// Rows of the mesh whose means are left eye, right eye, left and right corner of the mouth.
const PARTS = [[33, 160, 158, 133, 153, 144], [362, 385, 387, 263, 373, 380], [61], [291]];

const sigmoid = (x) => 1 / (1 + Math.exp(-Math.min(Math.max(x, -100), 100)));
/** How far two angles are apart, the shorter way round. */
const turnBetween = (one, other) => Math.abs(Math.atan2(Math.sin(one - other), Math.cos(one - other)));
const distance = (p, q) => Math.hypot(p[0] - q[0], p[1] - q[1]);

/** A square window on a photo: centre and side in pixels, turned clockwise by an angle. */
const view = (x, y, side, angle = 0) => ({ x, y, side, angle });

function matrixOf({ x, y, side, angle }, size) {
  const cos = side / size * Math.cos(angle), sin = side / size * Math.sin(angle), half = size / 2;
  return [[cos, -sin, x - half * (cos - sin)], [sin, cos, y - half * (sin + cos)]];
}

function partOf(whole, [x, y], side) {
  const [u, v] = place(matrixOf(whole, 1), [x, y]);
  return view(u, v, side * whole.side, whole.angle);
}

const rotated = (one, angle) => view(one.x, one.y, one.side, one.angle + angle);

/** A photo and its halvings, and views of it. */
class Pyramid {
  constructor(photo) {
    this.levels = [photo];
  }

  square(one, size) {
    const level = Math.max(0, Math.floor(Math.log2(one.side / size))), { levels } = this;
    while (levels.length <= level && Math.min(levels.at(-1).width, levels.at(-1).height) > 1) {
      levels.push(reduced(levels.at(-1), 2));
    }
    const image = levels[Math.min(level, levels.length - 1)];
    const shrink = [image.width / levels[0].width, image.height / levels[0].height];
    const quarters = Math.round(one.angle / (Math.PI / 2));
    if (Math.abs(one.angle - quarters * Math.PI / 2) > 1e-9) {
      return squareOf(image, scaled(matrixOf(one, size), ...shrink), size);
    }
    const low = [one.x, one.y].map((value, k) => (value - one.side / 2) * shrink[k]);
    const high = [one.x, one.y].map((value, k) => (value + one.side / 2) * shrink[k]);
    const left = Math.floor(low[0]), top = Math.floor(low[1]);
    const patch = cropped(image, left, top, Math.ceil(high[0]), Math.ceil(high[1]));
    const box = [low[0] - left, low[1] - top, high[0] - left, high[1] - top];
    return turned(resized(patch, size, size, BICUBIC, box), quarters);
  }
}

/** RGB in a range as the networks read it: [1, 3, height, width]. */
function tensorOf({ width, height, data }, low, high) {
  const values = new Float32Array(data.length), area = width * height, factor = (high - low) / 255;
  for (let i = 0, o = 0; o < area; o++) {
    for (let channel = 0; channel < 3; channel++) values[channel * area + o] = low + factor * data[i++];
  }
  return new ort.Tensor("float32", values, [1, 3, height, width]);
}

const PLACES = Object.fromEntries(Object.entries(GRIDS).map(([name, grids]) => [name, grids.flatMap(
  ([side, times]) => Array.from({ length: side * side * times }, (_, i) => {
    const k = Math.floor(i / times);
    return [(k % side + 0.5) / side, (Math.floor(k / side) + 0.5) / side];
  }))]));

/** The faces that the far or the near network sees in a square picture, surest first, in parts of its side. */
async function boxesOf(networks, name, square) {
  const side = SIDES[name], { boxes, logits } = await networks[name].run({ pixels: tensorOf(square, 0, 1) });
  let rest = [];
  logits.data.forEach((logit, i) => {
    const score = sigmoid(logit);
    if (score < CONFIDENCE) return;
    const values = Array.from(boxes.data.subarray(16 * i, 16 * i + 16), (value) => value / side);
    const [x, y] = PLACES[name][i];
    rest.push({ score, values: values.map((value, k) => (k === 2 || k === 3 ? value : value + (k % 2 ? y : x))) });
  });
  rest.sort((one, other) => other.score - one.score);
  const found = [];
  while (rest.length) {
    const first = rest[0], group = rest.filter((one) => one === first || overlap(one.values, first.values) > SAME_BOX);
    rest = rest.filter((one) => !group.includes(one));
    const sum = group.reduce((total, one) => total + one.score, 0);
    const mean = first.values.map((_, k) => group.reduce((total, one) => total + one.score * one.values[k], 0) / sum);
    found.push({
      centre: [mean[0], mean[1]], side: Math.max(mean[2], mean[3]), score: first.score,
      tilt: Math.atan2(mean[7] - mean[5], mean[6] - mean[4]),
    });
  }
  return found;
}

/** What two boxes, as centre and sizes, share of their union. */
function overlap(one, other) {
  const shared = [0, 1].map((k) => Math.max(0, Math.min(one[k] + one[k + 2] / 2, other[k] + other[k + 2] / 2)
    - Math.max(one[k] - one[k + 2] / 2, other[k] - other[k + 2] / 2)));
  const both = shared[0] * shared[1];
  return both / Math.max(one[2] * one[3] + other[2] * other[3] - both, 1e-12);
}

/** Square tiles that overlap by a fifth, two along the longer side. */
function halves(width, height) {
  const side = 0.6 * Math.max(width, height);
  const centres = (length) => {
    if (length <= side) return [length / 2];
    const count = Math.ceil((length - 0.2 * side) / (0.8 * side));
    return Array.from({ length: count }, (_, k) => side / 2 + k * (length - side) / (count - 1));
  };
  return centres(height).flatMap((y) => centres(width).map((x) => view(x, y, side)));
}

class FaceSearch {
  constructor(photo, networks) {
    this.photo = photo;
    this.networks = networks;
    this.pyramid = new Pyramid(photo);
  }

  /** The faces of the photo, largest first: { four, box }. */
  async run() {
    const { width, height } = this.photo, side = Math.max(width, height);
    const all = view(width / 2, height / 2, side), wide = view(width / 2, height / 2, 1.8 * side);
    const sideways = QUARTERS.slice(1).flatMap((k) => [rotated(all, k * Math.PI / 2), rotated(wide, k * Math.PI / 2)]);
    let faces = await this.among([all, ...halves(width, height)]);
    if (!faces.length) faces = await this.among([wide]);
    if (!faces.length) faces = await this.among(sideways);
    const area = ({ box }) => (box[2] - box[0]) * (box[3] - box[1]);
    return faces.sort((one, other) => area(other) - area(one) || one.box[0] - other.box[0]);
  }

  async among(views) {
    const found = [], faces = [];
    for (const one of views) {
      const square = this.pyramid.square(one, SIDES.far);
      for (const { centre, side, score } of await boxesOf(this.networks, "far", square)) {
        found.push({ box: partOf(one, centre, side), score });
      }
    }
    found.sort((one, other) => other.score - one.score);
    for (const { box } of found) {
      if (faces.some((face) => covers(face, box))) continue;
      const face = await this.read(box);
      if (face && !faces.some((other) => isSame(face, other))) faces.push(face);
    }
    return faces;
  }

  /** The points of the face in a box, or null where a closer look sees none. */
  async read(box) {
    let crop = view(box.x, box.y, CROP_BOXES * box.side, box.angle), boxes = [];
    for (const quarter of QUARTERS) {
      const next = rotated(view(box.x, box.y, CROP_BOXES * box.side, box.angle), quarter * Math.PI / 2);
      const seen = await this.near(next);
      if (seen.length && (!boxes.length || seen[0].score > boxes[0].score)) [crop, boxes] = [next, seen];
      if (seen.length && seen[0].score > SURELY_UPRIGHT) break;
    }
    const first = await this.mesh(crop, boxes);
    if (!first || turnBetween(first.tilt, crop.angle) < LEVEL) return first;
    const upright = rotated(crop, first.tilt - crop.angle);
    const second = await this.mesh(upright, await this.near(upright));
    return !second || turnBetween(second.tilt, upright.angle) > UPRIGHT ? null : second;
  }

  near(one) {
    return boxesOf(this.networks, "near", this.pyramid.square(one, SIDES.near));
  }

  /** The points of the face nearest to the middle of a crop. */
  async mesh(crop, boxes) {
    if (!boxes.length) return null;
    const middle = (box) => distance(box.centre, [0.5, 0.5]);
    const central = boxes.reduce((best, box) => (middle(box) < middle(best) ? box : best));
    const one = rotated(partOf(crop, central.centre, MESH_BOXES * central.side), central.tilt);
    const square = this.pyramid.square(one, SIDES.mesh);
    const { points, logit } = await this.networks.mesh.run({ pixels: tensorOf(square, 0, 1) });
    if (sigmoid(logit.data[0]) < CONFIDENCE) return null;
    const matrix = matrixOf(one, SIDES.mesh);
    const full = Array.from({ length: 468 }, (_, i) => place(matrix, [points.data[3 * i], points.data[3 * i + 1]]));
    const four = PARTS.map((rows) => [0, 1].map((k) => rows.reduce((sum, row) => sum + full[row][k], 0) / rows.length));
    const [xs, ys] = [0, 1].map((k) => full.map((point) => point[k]));
    const box = [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
    return { four, box, tilt: Math.atan2(four[1][1] - four[0][1], four[1][0] - four[0][0]) };
  }
}

/** Whether a box shows a face that is known already. */
function covers({ box: [left, top, right, bottom] }, box) {
  const size = Math.max(right - left, bottom - top);
  const apart = Math.max(Math.abs(box.x - (left + right) / 2), Math.abs(box.y - (top + bottom) / 2));
  return apart < 0.35 * size && box.side / size > 0.5 && box.side / size < 2;
}

function isSame(one, other) {
  const apart = one.four.reduce((sum, point, k) => sum + distance(point, other.four[k]), 0) / 4;
  return apart < SAME_FACE * Math.max(...[one, other].map(({ four }) => distance(four[0], four[1])));
}
