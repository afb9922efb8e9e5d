// Elements of the page: text only ever becomes text, never markup.

/**
 * Makes an element.
 *
 * Attributes that start with "on" are listeners; true and false set and leave
 * out an attribute. Children are elements or texts.
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** Returns a control under its label. */
export function field(label, control) {
  return element("div", { class: "field" },
    element("label", { for: control.id }, label), control);
}

/** Returns a number to read, which keeps its exact value for machines. */
export function number(value, text = String(Number(value.toPrecision(5)))) {
  return element("data", { value: String(value) }, text);
}

/** Returns a probability as a per cent. */
export function percent(value) {
  return number(value, `${(100 * value).toFixed(2)} %`);
}

/** Returns a table; the first row is its header. */
export function table(caption, [header, ...rows]) {
  const line = (cells, tag) => element("tr", {},
    ...cells.map((cell) => element(tag, {}, cell)));
  return element("table", { "aria-label": caption },
    element("thead", {}, line(header, "th")),
    element("tbody", {}, ...rows.map((row) => line(row, "td"))));
}

/** Returns the classes with their probabilities, the likeliest first. */
export function classes(probabilities, labels) {
  const order = [...probabilities.keys()]
    .sort((a, b) => probabilities[b] - probabilities[a]).slice(0, 10);
  const name = (place) => labels[place] ?? `class ${place}`;
  const rows = order.map((place) => [
    name(place),
    element("meter", {
      min: 0, max: 1, value: probabilities[place], "aria-hidden": "true",
    }),
    percent(probabilities[place]),
  ]);
  return element("div", {},
    element("p", { class: "verdict" }, name(order[0])),
    table("Classes", [["class", "", "probability"], ...rows]));
}
