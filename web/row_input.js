// A row of a table, or a short sequence of rows: a field for each feature.

import { element, number } from "./elements.js";
import * as release from "./release.js";

const HOUR = 3600; // Seconds: the file takes hours since 1970, the SavedModel seconds.
const UNKNOWN = "\0"; // A category that no table has.

export function fits(page) {
  return "features" in page.inputs && page.files.includes("features.txt");
}

const required = { required: true };

/** The kinds of columns: a control, and its value for the two sides. */
const COLUMNS = {
  number: {
    control: (column, given) => {
      const box = element("input", { type: "number", step: "any", ...(column.own ? {} : required) });
      box.value = given === null ? "" : release.shortest(given);
      return box;
    },
    phone: (box) => box.valueAsNumber, // NaN, which is a missing one, if empty.
    server: (box) => box.valueAsNumber,
  },
  time: {
    control: (column, given) => {
      const box = element("input", { type: "datetime-local", step: 1 });
      box.valueAsNumber = (given ?? NaN) * 1000;
      return box;
    },
    phone: (box) => box.valueAsNumber / 1000 / HOUR,
    server: (box) => box.valueAsNumber / 1000,
  },
  category: {
    control: (column, given) => {
      const options = [["", "missing"], [UNKNOWN, "another"], ...column.values.map((value) => [value, value])];
      const box = element("select", {}, ...options.map(
        ([value, text]) => element("option", { value }, text)));
      box.value = release.plain(given ?? "");
      return box;
    },
    phone: (box) => box.selectedIndex, // 0 missing, 1 unknown, then the values.
    server: (box) => box.value,
  },
};

/** Returns a column for each feature; the last ones may be the table's own. */
async function columns(page) {
  const names = await release.names(page, "features.txt");
  const own = await release.json(page, "columns.json", []);
  return names.map((name, place) => {
    const column = own[place - (names.length - own.length)];
    return { kind: "number", values: [], ...column, name, own: Boolean(column) };
  });
}

export async function build(page) {
  const { shape } = page.inputs.features;
  const steps = shape.length > 2 ? shape[1] : 1;
  const example = await release.example(page);
  const threshold = (await release.json(page, "thresholds.json"))?.files[page.file];
  const fields = (await columns(page)).map((column) => {
    const given = [example[column.name] ?? null].flat();
    const boxes = Array.from({ length: steps }, (_, step) => {
      const box = COLUMNS[column.kind].control(column, given[step] ?? null);
      box.setAttribute("aria-label", steps > 1 ? `${column.name}, step ${step + 1}` : column.name);
      return box;
    });
    return { ...column, ...COLUMNS[column.kind], boxes };
  });
  return {
    controls: element("div", { class: "fields" }, ...fields.map(({ name, boxes }) =>
      element("div", { class: "field" }, element("strong", { "aria-hidden": "true" }, name),
        element("div", { class: "cells" }, ...boxes)))),
    values: () => ({
      features: Array.from({ length: steps }, (_, step) =>
        fields.map(({ phone, boxes }) => phone(boxes[step]))).flat(),
    }),
    question: () => ({
      signature: "serving_default",
      inputs: Object.fromEntries(fields.map(({ name, server, boxes }) => {
        const cells = boxes.map(server);
        return [name, steps > 1 ? [cells] : cells];
      })),
    }),
    named: (answer) => answer,
    show({ score, is_fraud: flagged = [score[0] >= threshold], reasons = [] }) {
      const raised = reasons.filter(Boolean).join(", ");
      return element("div", {},
        element("p", { class: "verdict" }, flagged[0] ? "flagged as fraud" : "not flagged"),
        element("p", {}, "Score: ", number(score[0])),
        element("p", { class: "note", hidden: !raised }, `What raised it: ${raised}.`));
    },
  };
}
