"use strict";
// Pictures as the command computes with them: { width, height, data }, RGB, three bytes a pixel. Coordinates are
// continuous: pixel i covers [i, i + 1). Resizing and warping follow Pillow's definitions, so that crops agree.

const picture = (width, height) => ({ width, height, data: new Uint8ClampedArray(3 * width * height) });

function fromImageData({ width, height, data }) {
  const found = picture(width, height);
  for (let i = 0, j = 0; j < data.length; j += 4) {
    found.data[i++] = data[j];
    found.data[i++] = data[j + 1];
    found.data[i++] = data[j + 2];
  }
  return found;
}

function toCanvas({ width, height, data }) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const pixels = new ImageData(width, height);
  for (let i = 0, j = 0; i < data.length; i += 3, j += 4) {
    pixels.data.set([data[i], data[i + 1], data[i + 2], 255], j);
  }
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return canvas;
}

/** A part of a picture; black beyond it. */
function cropped(source, left, top, right, bottom) {
  const found = picture(right - left, bottom - top);
  const from = Math.max(left, 0), to = Math.min(right, source.width);
  for (let y = Math.max(top, 0); y < Math.min(bottom, source.height) && from < to; y++) {
    const row = source.data.subarray(3 * (y * source.width + from), 3 * (y * source.width + to));
    found.data.set(row, 3 * ((y - top) * found.width + from - left));
  }
  return found;
}

const LANCZOS = { radius: 3, at: (x) => (x === 0 ? 1 : Math.abs(x) >= 3 ? 0 : sinc(x) * sinc(x / 3)) };
const BICUBIC = { radius: 2, at: (x) => {
  const t = Math.abs(x);
  return t < 1 ? (1.5 * t - 2.5) * t * t + 1 : t < 2 ? ((-0.5 * t + 2.5) * t - 4) * t + 2 : 0;
} };
const sinc = (x) => Math.sin(Math.PI * x) / (Math.PI * x);

/** For each pixel of a resized axis: where its window begins, and the weights of the window. */
function windows(length, low, high, size, filter) {
  const scale = (high - low) / size, wide = Math.max(scale, 1), support = filter.radius * wide;
  return Array.from({ length: size }, (_, i) => {
    const centre = low + (i + 0.5) * scale;
    const first = Math.max(0, Math.floor(centre - support + 0.5));
    const last = Math.min(length, Math.floor(centre + support + 0.5));
    const values = Float64Array.from({ length: last - first }, (_, k) => filter.at((k + first - centre + 0.5) / wide));
    const sum = values.reduce((a, b) => a + b, 0);
    return { first, values: values.map((value) => value / sum) };
  });
}

/** A box of a picture at another size, without aliasing. */
function resized(source, width, height, filter, box = [0, 0, source.width, source.height]) {
  const columns = windows(source.width, box[0], box[2], width, filter);
  const rows = windows(source.height, box[1], box[3], height, filter);
  const begin = Math.min(...rows.map((row) => row.first));
  const end = Math.max(...rows.map((row) => row.first + row.values.length));
  const across = picture(width, end - begin);
  for (let y = begin, o = 0; y < end; y++) {
    for (const { first, values } of columns) {
      let r = 0, g = 0, b = 0, i = 3 * (y * source.width + first);
      for (const value of values) {
        r += value * source.data[i++];
        g += value * source.data[i++];
        b += value * source.data[i++];
      }
      across.data[o++] = r;
      across.data[o++] = g;
      across.data[o++] = b;
    }
  }
  const found = picture(width, height), stride = 3 * width;
  rows.forEach(({ first, values }, y) => {
    for (let x = 0; x < stride; x++) {
      let sum = 0, i = (first - begin) * stride + x;
      for (const value of values) {
        sum += value * across.data[i];
        i += stride;
      }
      found.data[y * stride + x] = sum;
    }
  });
  return found;
}

/** Means of blocks of count x count pixels; blocks at the rim may be smaller. */
function reduced(source, count) {
  const found = picture(Math.ceil(source.width / count), Math.ceil(source.height / count));
  for (let y = 0, o = 0; y < found.height; y++) {
    const bottom = Math.min((y + 1) * count, source.height);
    for (let x = 0; x < found.width; x++) {
      const right = Math.min((x + 1) * count, source.width);
      const sums = [0, 0, 0];
      for (let v = y * count; v < bottom; v++) {
        for (let u = x * count, i = 3 * (v * source.width + u); u < right; u++) {
          sums[0] += source.data[i++];
          sums[1] += source.data[i++];
          sums[2] += source.data[i++];
        }
      }
      const area = (bottom - y * count) * (right - x * count);
      for (const sum of sums) found.data[o++] = Math.floor(sum / area + 0.5); // the array would round halves to even
    }
  }
  return found;
}

/** Interpolate four values at equal distances between the middle two. */
const cubic = (a, b, c, d, t) => b + t * (c - a + t * (2 * (a - b) + c - d + t * (b - a + d - c)));

/** Look up each pixel of a square at the place that a matrix [[a, b, c], [d, e, f]] maps it to; black outside. */
function warped(source, [[a, b, c], [d, e, f]], size) {
  const found = picture(size, size), { width, height, data } = source;
  const line = new Float64Array(4), at = new Int32Array(4);
  for (let y = 0, o = 0; y < size; y++) {
    for (let x = 0; x < size; x++, o += 3) {
      const u = a * (x + 0.5) + b * (y + 0.5) + c, v = d * (x + 0.5) + e * (y + 0.5) + f;
      if (u < 0 || u >= width || v < 0 || v >= height) continue;
      const left = Math.floor(u - 0.5), top = Math.floor(v - 0.5), s = u - 0.5 - left, t = v - 0.5 - top;
      for (let k = 0; k < 4; k++) at[k] = 3 * Math.min(Math.max(left + k - 1, 0), width - 1);
      for (let channel = 0; channel < 3; channel++) {
        for (let k = 0; k < 4; k++) {
          const row = 3 * width * Math.min(Math.max(top + k - 1, 0), height - 1) + channel;
          line[k] = cubic(data[row + at[0]], data[row + at[1]], data[row + at[2]], data[row + at[3]], s);
        }
        found.data[o + channel] = Math.floor(cubic(line[0], line[1], line[2], line[3], t)); // as Pillow does
      }
    }
  }
  return found;
}

/** Turn by quarters, counterclockwise. */
function turned(source, quarters) {
  let found = source;
  for (let k = (quarters % 4 + 4) % 4; k > 0; k--) {
    const { width, height, data } = found, next = picture(height, width);
    for (let y = 0; y < width; y++) {
      for (let x = 0; x < height; x++) {
        const i = 3 * (x * width + width - 1 - y), o = 3 * (y * height + x);
        for (let channel = 0; channel < 3; channel++) next.data[o + channel] = data[i + channel];
      }
    }
    found = next;
  }
  return found;
}

/** Blur by three box filters of fractional width, which come near a Gaussian's (Gwosdek et al. 2011). */
function blurred(source, radius) {
  const variance = radius * radius / 3, whole = Math.floor((Math.sqrt(12 * variance + 1) - 1) / 2);
  const edge = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance) / (6 * (variance - (whole + 1) ** 2));
  const { width, height } = source, found = { width, height, data: source.data.slice() };
  for (let pass = 0; pass < 3; pass++) {
    for (let y = 0; y < height; y++) for (let c = 0; c < 3; c++) box(found.data, 3 * y * width + c, 3, width);
    for (let x = 0; x < width; x++) for (let c = 0; c < 3; c++) box(found.data, 3 * x + c, 3 * width, height);
  }
  return found;

  function box(data, start, step, length) {
    const line = Float64Array.from({ length }, (_, i) => data[start + i * step]);
    const at = (i) => line[Math.min(Math.max(i, 0), length - 1)];
    let sum = 0;
    for (let i = -whole; i <= whole; i++) sum += at(i);
    for (let i = 0; i < length; i++) {
      data[start + i * step] = (sum + edge * (at(i - whole - 1) + at(i + whole + 1))) / (2 * whole + 1 + 2 * edge);
      sum += at(i + whole + 1) - at(i - whole);
    }
  }
}

/** The middle value of each channel. */
function medians({ data }) {
  return [0, 1, 2].map((channel) => {
    const counts = new Uint32Array(256), half = data.length / 6;
    for (let i = channel; i < data.length; i += 3) counts[data[i]]++;
    let level = 0;
    for (let sum = counts[0]; sum < half; sum += counts[++level]);
    return level;
  });
}

// --- A face of a photo, cut out as the FFHQ faces were ---------------------------------------------------------------

const BORDER = 4, SUPERSAMPLE = 4;

/** Corners of the crop: top left, bottom left, bottom right, top right; of [left eye, right eye, mouth left, right]. */
function ffhqQuad([left, right, mouthLeft, mouthRight]) {
  const between = (p, q) => [(p[0] + q[0]) / 2, (p[1] + q[1]) / 2], less = (p, q) => [p[0] - q[0], p[1] - q[1]];
  const eyes = between(left, right), down = less(between(mouthLeft, mouthRight), eyes), across = less(right, left);
  const axis = [across[0] + down[1], across[1] - down[0]];
  const half = Math.max(2 * Math.hypot(...across), 1.8 * Math.hypot(...down)) / Math.hypot(...axis);
  const x = [axis[0] * half, axis[1] * half], y = [-x[1], x[0]];
  const centre = [eyes[0] + 0.1 * down[0], eyes[1] + 0.1 * down[1]];
  return [[-1, -1], [-1, 1], [1, 1], [1, -1]].map(
    ([i, j]) => [centre[0] + i * x[0] + j * y[0], centre[1] + i * x[1] + j * y[1]]);
}

/** What maps a square of so many pixels to a quad. */
const toQuad = ([topLeft, bottomLeft, , topRight], size) => [0, 1].map(
  (k) => [(topRight[k] - topLeft[k]) / size, (bottomLeft[k] - topLeft[k]) / size, topLeft[k]]);

const place = ([[a, b, c], [d, e, f]], [x, y]) => [a * x + b * y + c, d * x + e * y + f];
const scaled = ([[a, b, c], [d, e, f]], s, t) => [[a * s, b * s, c * s], [d * t, e * t, f * t]];
const shifted = ([[a, b, c], [d, e, f]], x, y) => [[a, b, c + x], [d, e, f + y]];
const stepOf = (matrix) => Math.hypot(matrix[0][0], matrix[1][0]);
const finer = ([[a, b, c], [d, e, f]], count) => [[a / count, b / count, c], [d / count, e / count, f]];

function extent(matrix, size) {
  const corners = [[0, 0], [0, size], [size, size], [size, 0]].map((corner) => place(matrix, corner));
  const [xs, ys] = [0, 1].map((k) => corners.map((corner) => corner[k]));
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}

/** The part under a square, shrunk until one sample steps at most one pixel, and the matrix to it. */
function shrunk(source, matrix, size, samples) {
  const shrink = Math.max(1, stepOf(matrix) / samples), border = BORDER * shrink, box = extent(matrix, size);
  const limits = [source.width, source.height], clip = (value, low, high) => Math.min(Math.max(value, low), high);
  const low = [0, 1].map((k) => clip(Math.floor(box[k] - border), 0, limits[k] - 1));
  const high = [0, 1].map((k) => clip(Math.ceil(box[k + 2] + border), low[k] + 1, limits[k]));
  const [width, height] = [0, 1].map((k) => Math.max(1, Math.round((high[k] - low[k]) / shrink)));
  let patch = cropped(source, low[0], low[1], high[0], high[1]);
  if (shrink !== 1) patch = resized(patch, width, height, LANCZOS);
  const moved = shifted(matrix, -low[0], -low[1]);
  return [patch, scaled(moved, width / (high[0] - low[0]), height / (high[1] - low[1]))];
}

/** Continue a patch by a blurred reflection wherever a square leaves it. */
function padded(source, matrix, size) {
  const box = extent(matrix, size), side = size * stepOf(matrix);
  const over = [-box[0], -box[1], box[2] - source.width, box[3] - source.height];
  const pad = over.map((value) => (value > 0 ? Math.max(Math.ceil(value) + BORDER, Math.round(0.3 * side)) : 0));
  if (!pad.some(Boolean)) return [source, matrix];
  const image = picture(source.width + pad[0] + pad[2], source.height + pad[1] + pad[3]);
  const mirrored = (i, length) => {
    if (length === 1) return 0;
    const k = (i % (2 * length - 2) + 2 * length - 2) % (2 * length - 2);
    return k < length ? k : 2 * length - 2 - k;
  };
  for (let y = 0, o = 0; y < image.height; y++) {
    const row = mirrored(y - pad[1], source.height) * source.width;
    for (let x = 0; x < image.width; x++) {
      const i = 3 * (row + mirrored(x - pad[0], source.width));
      for (let channel = 0; channel < 3; channel++) image.data[o++] = source.data[i + channel];
    }
  }
  const depths = (length, before, after) => Float64Array.from({ length }, (_, i) => Math.max(
    before ? 1 - i / before : -Infinity, after ? 1 - (length - 1 - i) / after : -Infinity));
  const rows = depths(image.height, pad[1], pad[3]), columns = depths(image.width, pad[0], pad[2]);
  const soft = blurred(image, 0.02 * side).data, middle = medians(image), found = picture(image.width, image.height);
  for (let y = 0, i = 0; y < image.height; y++) {
    for (let x = 0; x < image.width; x++) {
      const depth = Math.max(rows[y], columns[x]);
      const blur = Math.min(Math.max(3 * depth + 1, 0), 1), flat = Math.min(Math.max(depth, 0), 1);
      for (let channel = 0; channel < 3; channel++, i++) {
        const value = image.data[i] + (soft[i] - image.data[i]) * blur;
        found.data[i] = value + (middle[channel] - value) * flat;
      }
    }
  }
  return [found, shifted(matrix, pad[0], pad[1])];
}

/** Cut the face with these four points out, upright, as size x size pixels. */
function aligned(photo, four, size) {
  const matrix = toQuad(ffhqQuad(four), size), samples = stepOf(matrix) > 1 ? SUPERSAMPLE : 1;
  let [patch, toPatch] = padded(...shrunk(photo, matrix, size, samples), size);
  if (stepOf(toPatch) < 2) {
    patch = resized(patch, 2 * patch.width, 2 * patch.height, LANCZOS);
    toPatch = scaled(toPatch, 2, 2);
  }
  const fine = warped(patch, finer(toPatch, samples), size * samples);
  return samples === 1 ? fine : reduced(fine, samples);
}

/** Cut a turned square out, antialiased; black beyond the picture. */
function squareOf(source, matrix, size) {
  const [patch, toPatch] = shrunk(source, matrix, size, 1);
  return warped(patch, toPatch, size);
}

/** The middle of a photo that is an aligned face already. */
function whole(photo, size) {
  const side = Math.min(photo.width, photo.height);
  const left = Math.floor((photo.width - side) / 2), top = Math.floor((photo.height - side) / 2);
  const found = cropped(photo, left, top, left + side, top + side);
  return side === size ? found : resized(found, size, size, LANCZOS);
}
