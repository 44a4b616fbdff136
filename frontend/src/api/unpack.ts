/** Unpacks the compressed ticks of a connection; see docs/api.md. */

/** First byte of a tick that is compressed with the text of the one before it as dictionary. */
const BASED = 1;
/** Deflate looks back no further. */
const WINDOW = 32 * 1024;

/** Whether this browser can. */
export const canUnpack = typeof DecompressionStream !== 'undefined';

/** A block that is stored as it is: browsers know no dictionaries, but what comes before serves as one. */
function stored(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>[] {
  const { length } = bytes;
  const head = [length & 0xff, length >> 8, ~length & 0xff, (~length >> 8) & 0xff];
  return length === 0 ? [] : [Uint8Array.of(0, ...head), bytes];
}

export class Unpacker {
  private before: Promise<Uint8Array<ArrayBuffer>> = Promise.resolve(new Uint8Array());

  /** The text of a tick, which needs that of the tick before; rejects what can't be read. */
  async unpack(tick: ArrayBuffer): Promise<string> {
    const { before } = this;
    this.before = (async () => {
      const last = await before;
      const isBased = new Uint8Array(tick, 0, 1)[0] === BASED;
      const dictionary = isBased ? last.subarray(-WINDOW) : new Uint8Array();
      const parts = [...stored(dictionary), new Uint8Array(tick, 1)];
      const stream = new Blob(parts).stream().pipeThrough(new DecompressionStream('deflate-raw'));
      return new Uint8Array(await new Response(stream).arrayBuffer()).subarray(dictionary.length);
    })();
    return new TextDecoder().decode(await this.before);
  }
}
