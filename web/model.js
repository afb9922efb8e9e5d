// The TFLite file, run by LiteRT.js.

import { loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";

// The build that needs neither threads, which only pages with the headers of
// cross-origin isolation have, nor relaxed SIMD, whose sums depend on the
// processor: it runs from any static host, in every browser alike.
const RUNTIME = "litert/litert_wasm_compat_internal.js";
const ARRAYS = { float32: Float32Array, int32: Int32Array, uint8: Uint8Array };
// Clocks of browsers have steps of 0.1 ms: runs are timed in groups, of which
// there are so many, or as many as fit into the time.
const GROUP = 10, MOST_GROUPS = 50, MOST_MS = 400;

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

  /** Returns the milliseconds of a run: the median of groups, and their number. */
  async time(values) {
    const tensors = this.#tensors(values), groups = [];
    for (let total = 0; groups.length < MOST_GROUPS && total < MOST_MS;) {
      const start = performance.now();
      for (let run = 0; run < GROUP; run++) free(await this.#compiled.run(tensors));
      const took = performance.now() - start;
      groups.push(took / GROUP);
      total += took;
    }
    free(tensors);
    groups.sort((a, b) => a - b);
    return { ms: groups[groups.length >> 1], runs: GROUP * groups.length };
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
