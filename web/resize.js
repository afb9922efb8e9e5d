// Resizing as `tf.image.resize(..., antialias=True)`: bilinear, by a triangle.

/** Returns the first source place of each target place, and the weights from it on. */
function spans(from, to) {
  const scale = from / to, radius = Math.max(scale, 1);
  return Array.from({ length: to }, (_, place) => {
    const centre = (place + 0.5) * scale;
    const inside = (value) => Math.min(Math.max(value, 0), from - 1);
    const first = inside(Math.ceil(centre - radius - 0.5));
    const last = inside(Math.floor(centre + radius - 0.5));
    const weights = Array.from({ length: last - first + 1 }, (_, step) =>
      Math.max(0, 1 - Math.abs(first + step + 0.5 - centre) / radius));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return { first, weights: weights.map((weight) => weight / total) };
  });
}

/**
 * Returns an image in another size.
 *
 * `values` has `height * width * channels` numbers, the channels innermost.
 */
export function resize(values, [height, width, channels], [toHeight, toWidth]) {
  if (height === toHeight && width === toWidth) return values;
  const columns = spans(width, toWidth);
  const narrow = new Float32Array(height * toWidth * channels);
  for (let y = 0, target = 0; y < height; y++) {
    for (const { first, weights } of columns) {
      for (let c = 0; c < channels; c++, target++) {
        let source = (y * width + first) * channels + c, sum = 0;
        for (const weight of weights) {
          sum += weight * values[source];
          source += channels;
        }
        narrow[target] = sum;
      }
    }
  }
  const line = toWidth * channels;
  const small = new Float32Array(toHeight * line);
  spans(height, toHeight).forEach(({ first, weights }, y) => {
    weights.forEach((weight, step) => {
      const source = (first + step) * line;
      for (let x = 0; x < line; x++) small[y * line + x] += weight * narrow[source + x];
    });
  });
  return small;
}
