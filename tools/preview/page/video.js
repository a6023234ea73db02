// H.264 pictures to bitmaps, by WebCodecs: a decoder for each topic.

const USUAL_CODEC = "avc1.42C01F";
const LONGEST_DECODE_MS = 5000;

/** Resolves to why H.264 cannot be shown here; "" where it can. */
export async function lackOfVideo() {
  if (!isSecureContext) return "only over https or from localhost";
  if (!("VideoDecoder" in window)) return "this browser has no WebCodecs";
  try {
    const { supported } = await VideoDecoder.isConfigSupported({ codec: USUAL_CODEC, optimizeForLatency: true });
    return supported ? "" : "this browser does not decode it";
  } catch (error) {
    return `this browser does not decode it: ${error.message}`;
  }
}

export class Video {
  constructor() {
    this._topics = new Map();
  }

  /** Resolves to the bitmap of a message's picture: `picture` describes it, `data` is its chunks. The same bitmap as before
   *  where nothing is new. Rejects where it cannot be decoded. */
  bitmap(picture, data) {
    let topic = this._topics.get(picture.topic);
    if (!topic) this._topics.set(picture.topic, topic = new Topic());
    return topic.bitmap(picture, data);
  }

  /** Forget all: the next pictures begin with key frames. */
  reset() {
    for (const topic of this._topics.values()) topic.close();
    this._topics.clear();
  }
}

class Topic {
  constructor() {
    this._decoder = null;
    this._codec = "";
    this._stamp = 0;
    this._bitmap = null;
    this._waiting = null;
  }

  async bitmap({ codec, chunks }, data) {
    if (chunks.length) {
      const frame = await this._decode(codec, chunks, data);
      try {
        this._bitmap = await createImageBitmap(frame);
      } finally {
        frame.close();
      }
    }
    if (!this._bitmap?.width) throw new Error("nothing came that it could begin with");
    return this._bitmap;
  }

  close() {
    this._fail(new Error("ended"));
    if (this._decoder && this._decoder.state !== "closed") this._decoder.close();
    this._decoder = null;
  }

  // The frame of the last chunk; those before are decoded for its sake.
  _decode(codec, chunks, data) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this._fail(new Error("the decoder gave no picture")), LONGEST_DECODE_MS);
      this._waiting = { stamp: this._stamp + chunks.length, resolve, reject, timer };
      try {
        this._configure(codec);
        let at = 0;
        for (const { bytes, key } of chunks) {
          const type = key ? "key" : "delta", timestamp = ++this._stamp;
          this._decoder.decode(new EncodedVideoChunk({ type, timestamp, data: data.subarray(at, at + bytes) }));
          at += bytes;
        }
      } catch (error) {
        this._fail(error);
      }
    });
  }

  _configure(codec) {
    if (this._decoder?.state === "configured" && codec === this._codec) return;
    this._decoder ??= new VideoDecoder({ output: frame => this._output(frame), error: error => this._fail(error) });
    this._decoder.configure({ codec, optimizeForLatency: true });
    this._codec = codec;
  }

  _output(frame) {
    if (this._waiting?.stamp !== frame.timestamp) {
      frame.close();
      return;
    }
    clearTimeout(this._waiting.timer);
    this._waiting.resolve(frame);
    this._waiting = null;
  }

  _fail(error) {
    if (!this._waiting) return;
    clearTimeout(this._waiting.timer);
    this._waiting.reject(error);
    this._waiting = null;
  }
}
