// Plain numbers: for any file whose inputs are no image, text, list or row.

import { classes, element, field } from "./elements.js";
import { nested } from "./nested.js";
import * as release from "./release.js";

export function fits() {
  return true;
}

const sizeOf = (shape) => shape.reduce((product, size) => product * size, 1);

/** Returns the numbers in a box, checked. */
function numbersOf(box, name, size) {
  const words = box.value.split(/[\s,;[\]]+/).filter(Boolean);
  const numbers = words.map(Number);
  const wrong = numbers.findIndex((value) => !Number.isFinite(value));
  if (wrong >= 0) throw new Error(`${name} has “${words[wrong]}”, which is no number.`);
  if (numbers.length !== size) {
    throw new Error(`${name} needs ${size} numbers; there are ${numbers.length}.`);
  }
  return numbers;
}

export async function build(page) {
  const labels = await release.names(page, "labels.txt");
  // A front end of lookups is in the SavedModel only: its inputs are others.
  const served = page.signatures.serving_default?.inputs ?? {};
  const same = Object.keys(page.inputs).every((name) => name in served)
    && !page.files.includes("front_end.json");
  const row = same ? await release.example(page) : {};
  const boxes = Object.entries(page.inputs).map(([name, { shape }]) => {
    const size = sizeOf(shape);
    const values = [row[name] ?? Array(size).fill(0)].flat(Infinity);
    const box = element("textarea", { id: `input-${name}`, required: true, spellcheck: "false" });
    box.value = values.map(release.shortest).join(" ");
    return { name, shape, size, box };
  });
  return {
    controls: element("div", {}, ...boxes.map(({ name, shape, size, box }) =>
      field(`${name}: ${size} numbers, ${shape.slice(1).join(" × ")}`, box))),
    values: () => Object.fromEntries(
      boxes.map(({ name, size, box }) => [name, numbersOf(box, name, size)])),
    question: (values) => same && {
      signature: "serving_default",
      inputs: Object.fromEntries(boxes.map(({ name, shape }) => [name, nested(values[name], shape)])),
    },
    named(answer, outputs) {
      const [[ours], [theirs]] = [Object.keys(outputs), Object.keys(answer)];
      const isSingle = Object.keys(outputs).length === 1;
      return isSingle ? { [ours]: answer[theirs] } : answer;
    },
    show: (outputs) => element("div", {}, ...Object.entries(outputs).map(([name, values]) =>
      labels.length && values.length === labels.length
        ? classes(Array.from(values), labels)
        : element("div", {}, element("h3", {}, name),
          element("pre", { tabindex: 0 }, Array.from(values, (x) => Number(x.toPrecision(6))).join(" "))))),
  };
}
