// The same question to the release's SavedModel, on the server of this page.

/** Returns JSON that has NaN where a number is missing, as TF Serving takes it. */
function written(value) {
  if (typeof value === "number" && Number.isNaN(value)) return "NaN";
  if (Array.isArray(value)) return `[${value.map(written).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const pairs = Object.entries(value);
  return `{${pairs.map(([k, v]) => `${JSON.stringify(k)}:${written(v)}`).join(",")}}`;
}

/**
 * Returns the flat outputs of a signature by name, for one example.
 *
 * Throws an error with the server's own words.
 */
export async function ask(page, { signature, inputs }) {
  const response = await fetch("saved_model", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: written({ signature_name: signature, inputs }),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  const names = Object.keys(page.signatures[signature].outputs);
  // TF Serving leaves the name of an only output out.
  const outputs = names.length > 1 ? answer.outputs : { [names[0]]: answer.outputs };
  return Object.fromEntries(Object.entries(outputs).map(
    ([name, value]) => [name, [value].flat(Infinity)]));
}
