// A text: the tokenizer of the release gives the token ids of the file.

import { classes, element, field } from "./elements.js";
import * as release from "./release.js";
import { Tokenizer } from "./tokenizer.js";

export function fits(page) {
  return "token_ids" in page.inputs && page.files.includes("tokenizer.json");
}

export async function build(page) {
  const labels = await release.names(page, "labels.txt");
  const tokenizer = new Tokenizer(
    await release.names(page, "vocab.txt"), await release.json(page, "tokenizer.json"));
  const example = await release.example(page);
  const area = element("textarea", { id: "text", required: true, spellcheck: "false" });
  area.value = release.plain(example.text ?? "");
  const count = element("p", { class: "note" });
  const tell = () => {
    const words = tokenizer.words(area.value), ids = tokenizer.ids(words);
    const unknown = ids.filter((id) => id === tokenizer.unknown).length;
    count.textContent = words.length
      ? `${words.length} tokens, of which the file reads ${ids.length}. Unknown to it: ${unknown}.`
      : "The text has no word yet.";
  };
  area.addEventListener("input", tell);
  tell();
  return {
    controls: element("div", {}, field("Text", area), count),
    values: () => ({ token_ids: tokenizer.padded(area.value) }),
    question: () => ({ signature: "serving_default", inputs: { text: [area.value] } }),
    named: (answer) => ({ probabilities: answer.probabilities }),
    show: (outputs) => classes(outputs.probabilities, labels),
  };
}
