// The reference tokenizer of apps/text_sentiment/tokenizer.py, in JavaScript.

/** Turns a text into token ids, as `tokenizer.json` and `vocab.txt` specify. */
export class Tokenizer {
  #ids;
  #rules;

  constructor(vocabulary, specification) {
    this.padding = specification.padding_id;
    this.unknown = specification.unknown_id;
    this.maxTokens = specification.max_tokens;
    this.head = specification.head_tokens;
    this.#ids = new Map(vocabulary.map((word, id) => [word, id]));
    // \1 of other languages is $1 here, where a plain $ is written $$.
    this.#rules = specification.rules.map(({ pattern, replacement }) => [
      new RegExp(pattern, "gu"),
      replacement.replaceAll("$", "$$$$").replaceAll(/\\(\d)/g, "$$$1"),
    ]);
  }

  /** Returns all words and symbols of a text. */
  words(text) {
    // ASCII alone: libraries differ in the lower case of other letters.
    let changed = text.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase());
    for (const [pattern, replacement] of this.#rules) {
      changed = changed.replaceAll(pattern, replacement);
    }
    return changed.split(" ").filter(Boolean);
  }

  /** Returns 1 to `maxTokens` ids; a longer text loses its middle. */
  ids(words) {
    const ids = words.map((word) => this.#ids.get(word) ?? this.unknown);
    if (ids.length > this.maxTokens) {
      const tail = ids.length - (this.maxTokens - this.head);
      return [...ids.slice(0, this.head), ...ids.slice(tail)];
    }
    return ids.length ? ids : [this.unknown];
  }

  /** Returns `maxTokens` ids, padded, as the file takes them. */
  padded(text) {
    const ids = this.ids(this.words(text));
    return [...ids, ...Array(this.maxTokens - ids.length).fill(this.padding)];
  }
}
