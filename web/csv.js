// Comma-separated values (RFC 4180), as Python's `csv` writes them.

/** Returns the rows of a CSV text, each a list of cells. */
export function parse(text) {
  const rows = [];
  let row = [];
  // A cell, quoted or plain, and what ends it.
  const cells = /(?:"((?:[^"]|"")*)"|([^",\n]*))(,|\n|$)/gy;
  while (cells.lastIndex < text.length) {
    const [match, quoted, plain, end] = cells.exec(text) ?? [];
    if (match === undefined) throw new Error("items.csv is damaged.");
    row.push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    if (end === ",") continue;
    rows.push(row);
    row = [];
  }
  return rows;
}
