// The files of the release: what the page is about.

const FOLDER = "release/";

async function fetched(name) {
  const response = await fetch(name);
  if (!response.ok) throw new Error(`${name} is missing: the page's folder is not whole.`);
  return response;
}

/** Returns the page's description of the release, `page.json`. */
export async function describe() {
  return (await fetched("page.json")).json();
}

/** Returns the bytes of a file. */
export async function bytes(name) {
  return new Uint8Array(await (await fetched(FOLDER + name)).arrayBuffer());
}

/** Returns the content of a text file; `text()` would drop a mark at its start. */
export async function text(name) {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(await bytes(name));
}

/** Returns a JSON file's value, or `missing` if the release has no such file. */
export async function json(page, name, missing = null) {
  return page.files.includes(name) ? JSON.parse(await text(name)) : missing;
}

/** Returns the names in a file, one per line; none if there is no such file. */
export async function names(page, name) {
  return page.files.includes(name) ? (await text(name)).split("\n").slice(0, -1) : [];
}

/** Returns the inputs of the release's example by name; {} if it has none. */
export async function example(page) {
  const request = await json(page, "example.json", { instances: [{}] });
  return request.instances[0];
}

/** Returns a text of an example, which may be packed as bytes. */
export function plain(value) {
  if (typeof value !== "object" || value === null) return value;
  return new TextDecoder().decode(unpacked(value));
}

/** Returns a float32 with as few digits as it needs. */
export function shortest(value) {
  const same = (digits) => Math.fround(Number(value.toPrecision(digits))) === Math.fround(value);
  return String(Number(value.toPrecision([6, 7, 8].find(same) ?? 9)));
}

/** Returns the bytes of an example's `{"b64": ...}`. */
export function unpacked(value) {
  return Uint8Array.from(atob(value.b64), (character) => character.charCodeAt(0));
}
