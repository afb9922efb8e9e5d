// The page: loads the file, asks it, and shows its answer beside the SavedModel's.

import { difference } from "./difference.js";
import { element, number } from "./elements.js";
import * as image from "./image_input.js";
import * as items from "./item_input.js";
import * as numbers from "./number_input.js";
import * as row from "./row_input.js";
import * as text from "./text_input.js";
import { Model } from "./model.js";
import * as release from "./release.js";
import * as savedModel from "./saved_model.js";

// The first kind of input that fits the release is shown; numbers fit any.
const KINDS = [image, text, items, row, numbers];
const part = (id) => document.getElementById(id);

/** Returns the sentence on a file that the runtime refuses. */
function refusal(page, error) {
  return page.keeps_state
    ? "This file does not run in a browser: it keeps a state between calls, as "
      + "the fused LSTM does, and LiteRT.js does not support that yet. The "
      + "interpreters for Android, iOS and Python run it."
    : `This file does not run in this browser. LiteRT.js says: ${error.message}`;
}

function same(first, second) {
  return Object.keys(first).every((name) =>
    first[name].every((value, place) => Object.is(value, second[name][place])));
}

/** Returns the section of one side's answer. */
function section(id, title, note, content) {
  return element("section", { id, "aria-labelledby": `${id}-title` },
    element("h2", { id: `${id}-title` }, title), content,
    element("p", { class: "note" }, ...note));
}

/** Shows what the file answers, unless the user has asked again; returns it. */
async function phoneAnswer(page, model, kind, values, isLatest) {
  const outputs = await model.run(values);
  const { ms, runs } = await model.time(values);
  const repeats = same(outputs, await model.run(values));
  const note = [number(ms, `${ms.toPrecision(2)} ms`), ` per inference; the file ran ${runs} times.`];
  if (!repeats) note.push(" Asked again, the file gave another answer: it keeps a state between calls.");
  if (isLatest()) part("answers").replaceChildren(
    section("phone", `The phone’s file, ${page.file}`, note, kind.show(outputs)));
  return outputs;
}

/** Shows what the SavedModel answers; its failure leaves the phone's answer. */
async function serverAnswer(page, kind, values, outputs, isLatest) {
  const question = kind.question(values);
  if (!question) return;
  try {
    const theirs = kind.named(await savedModel.ask(page, question), outputs);
    const greatest = difference(outputs, theirs, kind.compared ?? Object.keys(outputs));
    const compared = greatest === null
      ? ["The two have no output of the same name to compare."]
      : ["The numbers of the two differ by at most ", number(greatest), "."];
    if (isLatest()) part("answers").append(
      section("saved-model", "The SavedModel", ["Computed by this page’s server."],
        kind.show(theirs)),
      element("p", { id: "difference" }, ...compared));
  } catch (error) {
    if (isLatest()) part("answers").append(section("saved-model", "The SavedModel", [],
      element("p", {}, `It did not answer: ${error.message}`)));
  }
}

let asked = 0; // Questions so far: an answer to an older one is not shown.

async function ask(page, model, kind) {
  const turn = ++asked, isLatest = () => turn === asked;
  part("ask").disabled = true;
  try {
    const values = kind.values();
    part("state").textContent = "";
    const outputs = await phoneAnswer(page, model, kind, values, isLatest);
    if (page.saved_model && isLatest()) await serverAnswer(page, kind, values, outputs, isLatest);
  } catch (error) {
    if (!isLatest()) return;
    part("answers").replaceChildren();
    part("state").textContent = error.message;
  } finally {
    if (isLatest()) part("ask").disabled = false;
  }
}

function introduce(page) {
  const title = `${page.app}: the phone’s file`;
  document.title = part("title").textContent = title;
  part("about").textContent = `Version ${page.version}, ${page.file}, ${
    (page.bytes / 1000).toLocaleString("en", { maximumFractionDigits: 0 })} kB, trained on ${page.dataset}.`;
  if (page.saved_model) {
    part("privacy").textContent = "The same input also goes to the SavedModel, on the server of this page, and nowhere else.";
  }
}

async function start() {
  const page = await release.describe();
  introduce(page);
  const content = await release.bytes(page.file);
  let model;
  try {
    model = await Model.load(content, page);
  } catch (error) {
    part("state").textContent = refusal(page, error);
    return { page, model: null, kind: null };
  }
  const kind = await KINDS.find((each) => each.fits(page)).build(page);
  part("controls").append(kind.controls);
  part("form").addEventListener("submit", (event) => {
    event.preventDefault();
    ask(page, model, kind);
  });
  part("form").hidden = false;
  part("state").textContent = "";
  return { page, model, kind };
}

/** Becomes the description, the model and the kind of input when all is loaded. */
export const ready = start().catch((error) => {
  part("state").textContent = error.message;
  throw error;
});
