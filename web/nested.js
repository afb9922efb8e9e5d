/** Returns nested lists of a shape from flat values, as JSON has tensors. */
export function nested(values, shape) {
  if (shape.length === 1) return [...values];
  const step = values.length / shape[0];
  return Array.from({ length: shape[0] }, (_, place) =>
    nested(values.slice(place * step, (place + 1) * step), shape.slice(1)));
}
