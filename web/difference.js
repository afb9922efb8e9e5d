/**
 * Returns the greatest difference between outputs that both sides have.
 *
 * It is null if they have none of the names. Of lists of other lengths, the
 * places that both have are compared.
 */
export function difference(ours, theirs, names) {
  const shared = names.filter((name) => name in ours && name in theirs);
  if (!shared.length) return null;
  let greatest = 0;
  for (const name of shared) {
    const length = Math.min(ours[name].length, theirs[name].length);
    for (let place = 0; place < length; place++) {
      greatest = Math.max(greatest, Math.abs(ours[name][place] - theirs[name][place]));
    }
  }
  return greatest;
}
