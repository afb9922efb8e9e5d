// Films, or other items: a history of picked items becomes a list of new ones.

import { parse } from "./csv.js";
import { element, field, number, table } from "./elements.js";
import * as release from "./release.js";

const SHOWN = 20; // Matches offered, and items of the list.

export function fits(page) {
  return "history" in page.inputs && page.files.includes("items.csv");
}

/** Returns index, id and title of every item, and what finds it. */
async function catalogue() {
  const [, ...rows] = parse(await release.text("items.csv"));
  return rows.map(([index, id, title]) => ({
    index: Number(index), id, title,
    label: title === id ? id : `${title} (${id})`,
  }));
}

/** Returns the controls that pick items; `picked` is the oldest first. */
function picker(all, picked, most) {
  const byLabel = new Map(all.map((item) => [item.label, item]));
  const matches = element("datalist", { id: "matches" });
  const search = element("input", { id: "search", list: "matches", autocomplete: "off" });
  const list = element("ol", { class: "chosen", "aria-label": "Picked items, the oldest first" });
  const offer = () => {
    const words = search.value.toLowerCase();
    const fitting = [];
    for (const item of all) {
      if (item.label.toLowerCase().includes(words)) fitting.push(item);
      if (fitting.length === SHOWN) break;
    }
    matches.replaceChildren(...fitting.map((item) => element("option", { value: item.label })));
    return fitting;
  };
  const draw = () => list.replaceChildren(...picked.map((item, place) =>
    element("li", {}, item.label, element("button", {
      type: "button", "aria-label": `Remove ${item.label}`,
      onclick: () => { picked.splice(place, 1); draw(); search.focus(); },
    }, "×"))));
  const add = () => {
    const item = byLabel.get(search.value) ?? (search.value ? offer()[0] : undefined);
    if (!item || picked.includes(item) || picked.length === most) return;
    picked.push(item);
    search.value = "";
    offer();
    draw();
  };
  search.addEventListener("input", offer);
  search.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !search.value) return;
    event.preventDefault();
    add();
  });
  offer();
  return element("div", {}, element("div", { class: "search" },
    field("Items that you know, the oldest first", search), matches,
    element("button", { type: "button", id: "add", onclick: add }, "Add")), list);
}

export async function build(page) {
  const all = await catalogue(), picked = [];
  const byIndex = new Map(all.map((item) => [item.index, item]));
  const width = page.inputs.history.shape[1];
  return {
    controls: picker(all, picked, width),
    values() {
      if (!picked.length) throw new Error("Please add at least one item.");
      const padding = Array(width - picked.length).fill(0);
      return { history: [...padding, ...picked.map((item) => item.index)] };
    },
    question: () => ({
      signature: "history", inputs: { item_ids: [picked.map((item) => item.id)] },
    }),
    named(answer) {
      const places = new Map(all.map((item) => [item.id, item.index]));
      return {
        indices: answer.item_ids.map((id) => places.get(id)), scores: answer.scores,
      };
    },
    compared: ["scores"], // By place in the list; an index is no number.
    show: ({ indices, scores }) => table("Recommended items", [
      ["item", "score"],
      ...[...indices].slice(0, SHOWN).map((index, place) =>
        [byIndex.get(index)?.title ?? `item ${index}`, number(scores[place])]),
    ]),
  };
}
