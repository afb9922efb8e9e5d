// The TFLite file, run by LiteRT.js.

import { loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";

// The build that needs neither threads, which only pages with the headers of
// cross-origin isolation have, nor relaxed SIMD, whose sums depend on the
// processor: it runs from any static host, in every browser alike.
const RUNTIME = "litert/litert_wasm_compat_internal.js";
const ARRAYS = { float32: Float32Array, int32: Int32Array, uint8: Uint8Array };
// Runs that are timed: so many, or as many as fit into the time. Clocks of
// browsers have steps of 0.1 ms, so that single runs are not timed.
const MOST_RUNS = 1000, MOST_MS = 300;

/** Returns a real value in a tensor's steps, rounded to nearest, half to even. */
function quantized(value, { scale, zero_point: zero, dtype }) {
  if (!scale || dtype === "float32") return value;
  const exact = Math.fround(Math.fround(value) / Math.fround(scale));
  const low = Math.floor(exact), rest = exact - low;
  const up = rest > 0.5 || (rest === 0.5 && low % 2 !== 0);
  return Math.min(255, Math.max(0, low + up + zero));
}

/** Returns the real values of a tensor. */
function dequantized(values, { scale, zero_point: zero, dtype }) {
  if (!scale || dtype === "float32") return values;
  return Float32Array.from(values, (value) => (value - zero) * Math.fround(scale));
}

export class Model {
  #compiled;

  /**
   * Describes a file that was loaded; see `load`.
   *
   * `inputs` and `outputs` tell shape, dtype, scale and zero point by name.
   */
  constructor(compiled, inputs, outputs) {
    this.#compiled = compiled;
    this.inputs = inputs;
    this.outputs = outputs;
  }

  /** Loads a file's bytes; throws what the runtime says if it cannot. */
  static async load(content, { inputs, outputs }) {
    for (const [name, { dtype }] of Object.entries(inputs)) {
      if (!(dtype in ARRAYS)) throw new Error(`input ${name} is of ${dtype}`);
    }
    await loadLiteRt(RUNTIME);
    return new Model(await loadAndCompile(content, { accelerator: "wasm" }),
      inputs, outputs);
  }

  /** Returns the flat real outputs by name for flat real inputs by name. */
  async run(values) {
    const tensors = this.#tensors(values);
    const outputs = await this.#compiled.run(tensors);
    const real = {};
    for (const [name, tensor] of Object.entries(outputs)) {
      real[name] = dequantized(tensor.toTypedArray(), this.outputs[name]);
    }
    free(tensors, outputs);
    return real;
  }

  /** Returns the mean milliseconds of a run, and the number of runs. */
  async time(values) {
    const tensors = this.#tensors(values), start = performance.now();
    let runs = 0, total = 0;
    while (runs < MOST_RUNS && total < MOST_MS) {
      free(await this.#compiled.run(tensors));
      runs += 1;
      total = performance.now() - start;
    }
    free(tensors);
    return { ms: total / runs, runs };
  }

  #tensors(values) {
    return Object.fromEntries(Object.entries(this.inputs).map(
      ([name, detail]) => [name, new Tensor(
        ARRAYS[detail.dtype].from(values[name], (value) => quantized(value, detail)),
        detail.shape)]));
  }
}

/** Frees tensors, whose memory the runtime does not manage. */
function free(...records) {
  for (const record of records) Object.values(record).forEach((x) => x.delete());
}
