// An image: a class with probabilities, or a reconstruction and its heat map.

import { classes, element, field, number } from "./elements.js";
import { nested } from "./nested.js";
import * as release from "./release.js";
import { resize } from "./resize.js";

const MOST_PIXELS = 50e6;
const BACKGROUNDS = { white: "#ffffff", grey: "#808080", black: "#000000" };
const LUMINANCE = [0.2989, 0.587, 0.114];

export function fits(page) {
  return page.inputs.image?.shape.length === 4 && "pixels" in page.signatures;
}

const context = (width, height) => {
  const canvas = element("canvas", { width, height });
  return canvas.getContext("2d", { willReadFrequently: true });
};

/** Decodes an image file: upright, and opaque before the background. */
async function decoded(file, background) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" });
  } catch {
    throw new Error("This browser cannot decode the file as an image.");
  }
  const { width, height } = bitmap;
  if (width * height > MOST_PIXELS) throw new Error("The image has more than 50 million pixels.");
  const drawing = context(width, height);
  drawing.fillStyle = background;
  drawing.fillRect(0, 0, width, height);
  drawing.drawImage(bitmap, 0, 0);
  bitmap.close();
  return drawing.getImageData(0, 0, width, height);
}

/** Returns the model's pixels, 0 to 255; whole numbers where it was trained on bytes. */
export function prepared({ data, width, height }, [, toHeight, toWidth, channels], isBytes) {
  const limited = isBytes ? Math.round : (value) => value;
  const values = new Float32Array(width * height * channels);
  for (let place = 0; place < width * height; place++) {
    const [red, green, blue] = data.subarray(4 * place, 4 * place + 3);
    if (channels === 3) values.set([red, green, blue], 3 * place);
    else if (red === green && green === blue) values[place] = red;
    else values[place] = limited(LUMINANCE[0] * red + LUMINANCE[1] * green + LUMINANCE[2] * blue);
  }
  return resize(values, [height, width, channels], [toHeight, toWidth])
    .map((value) => limited(Math.min(255, Math.max(0, value))));
}

/** Returns a figure of an image, whose colour `colour(place)` is 0 to 255. */
function picture(title, [, height, width], colour) {
  const drawing = context(width, height), drawn = drawing.createImageData(width, height);
  for (let place = 0; place < width * height; place++) {
    drawn.data.set([...colour(place), 255], 4 * place);
  }
  drawing.putImageData(drawn, 0, 0);
  drawing.canvas.setAttribute("role", "img");
  drawing.canvas.setAttribute("aria-label", title);
  return element("figure", {}, drawing.canvas, element("figcaption", {}, title));
}

/** Returns the colour of heat from 0 to 1: black, red, yellow, white. */
const glow = (level) => [0, 1, 2].map((part) => 255 * Math.min(1, Math.max(0, 3 * level - part)));

/** Returns what an autoencoder gives, as pictures and a score. */
function rebuilt(image, shape, outputs, { threshold, usual }) {
  const channels = shape[3];
  const colour = (values, place) => [0, 1, 2].map(
    (part) => 255 * values[place * channels + (channels === 3 ? part : 0)]);
  const pictures = [
    picture("input", shape, (place) => colour(image, place)),
    picture("reconstruction", shape, (place) => colour(outputs.reconstruction, place)),
  ];
  if (!outputs.anomaly_score) return element("div", { class: "pictures" }, ...pictures);
  const [score] = outputs.anomaly_score;
  const [flagged] = outputs.is_anomalous ?? [score >= threshold];
  pictures.push(picture("heat map over the input", shape, (place) => {
    const level = Math.min(1, Math.max(0, (outputs.heatmap[place] - usual) / Math.max(1 - usual, 1e-9)));
    const hot = glow(0.25 + 0.75 * level), under = colour(image, place);
    return under.map((value, part) => value + 0.6 * level * (hot[part] - value));
  }));
  return element("div", {},
    element("p", { class: "verdict" }, flagged ? "anomalous" : "normal"),
    element("p", {}, "Anomaly score: ", number(score)),
    element("div", { class: "pictures" }, ...pictures),
    element("p", { class: "note" }, "Research software, no medical device."));
}

/** Returns the control that takes a file: chosen, dropped, or the release's example. */
function chooser(example, take) {
  const shown = element("div", { class: "pictures" });
  const input = element("input", {
    id: "file", type: "file", accept: "image/*",
    onchange: () => input.files[0] && take(input.files[0], shown),
  });
  const zone = element("div", {
    class: "drop",
    ondragover: (event) => { event.preventDefault(); zone.classList.add("over"); },
    ondragleave: () => zone.classList.remove("over"),
    ondrop: (event) => {
      event.preventDefault();
      zone.classList.remove("over");
      const [file] = event.dataTransfer.files;
      if (file) take(file, shown);
    },
  }, field("Choose an image, or drop it here", input));
  if (example.image_bytes) {
    const use = () => take(new Blob([release.unpacked(example.image_bytes)]), shown);
    zone.append(element("button", { type: "button", id: "example", onclick: use },
      "Use the release’s example"));
  }
  zone.append(shown);
  return zone;
}

export async function build(page) {
  const { shape } = page.inputs.image;
  const [, height, width, channels] = shape;
  const labels = await release.names(page, "labels.txt");
  const facts = {
    threshold: (await release.json(page, "thresholds.json"))?.files[page.file],
    usual: (await release.json(page, "detector.json"))?.usual_heat ?? 0,
  };
  const served = page.signatures.pixels.inputs.image;
  const isBytes = served.dtype === "uint8";
  const servedShape = [1, height, width, served.shape[3]];
  const background = BACKGROUNDS[page.background] ?? BACKGROUNDS.white;
  // 0 to 255; a file of three channels may be of a model that sees grey.
  let pixels = null, servedPixels = null;
  const take = async (file, shown) => {
    const state = document.getElementById("state");
    try {
      const image = await decoded(file, background);
      pixels = prepared(image, shape, isBytes);
      servedPixels = prepared(image, servedShape, isBytes);
    } catch (error) {
      state.textContent = error.message;
      return;
    }
    state.textContent = "";
    shown.replaceChildren(picture(`as the model sees it, ${width} × ${height}`, shape, (place) =>
      [0, 1, 2].map((part) => pixels[place * channels + (channels === 3 ? part : 0)])));
    document.getElementById("form").requestSubmit();
  };
  const real = (values) => Float32Array.from(values, (value) => value / 255);
  return {
    controls: chooser(await release.example(page), take),
    values() {
      if (!pixels) throw new Error("Please choose an image first.");
      return { image: real(pixels) };
    },
    question: () => ({
      signature: "pixels", inputs: { image: nested(isBytes ? servedPixels : real(servedPixels), servedShape) },
    }),
    named: (answer) => answer,
    show: (outputs) => outputs.probabilities
      ? classes(Array.from(outputs.probabilities), labels)
      : rebuilt(real(pixels), shape, outputs, facts),
  };
}
