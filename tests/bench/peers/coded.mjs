// Pictures that tell their number; tests/bench/peers/coded.py says how.

export const [WIDTH, HEIGHT, RATE] = [1280, 720, 30];
const [BLOCKS, ROWS] = [32, 18];
const [BLACK, WHITE, DOUBT] = [16, 235, 50];
export const [PERIOD, STEP] = [320, 4];

// CRC-16-CCITT, as Python's binascii.crc_hqx
function checksum(number) {
  let crc = 0xffff ^ number;
  for (let bit = 0; bit < 16; bit += 1) crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1;
  return crc & 0xffff;
}

function blocks(number) {
  const bits = number * 0x10000 + checksum(number);
  return Array.from({ length: BLOCKS }, (_, i) => (bits >>> (BLOCKS - 1 - i)) & 1);
}

// Returns the number in rows of luma from a picture's upper edge, or null.
export function read(luma, width, stride, height) {
  const [tall, wide] = [height / ROWS, width / BLOCKS];
  let bits = 0;
  for (let i = 0; i < BLOCKS; i += 1) {
    let [sum, count] = [0, 0];
    for (let y = Math.floor(tall / 4); y < Math.max(Math.floor(tall / 4) + 1, (tall * 3) / 4); y += 1) {
      for (let x = Math.floor(wide * (i + 0.25)); x < wide * (i + 0.75); x += 1) {
        sum += luma[y * stride + x];
        count += 1;
      }
    }
    const level = sum / count - (BLACK + WHITE) / 2;
    if (Math.abs(level) < DOUBT) return null;
    bits = bits * 2 + (level > 0 ? 1 : 0);
  }
  const number = Math.floor(bits / 0x10000);
  return checksum(number) === bits % 0x10000 ? number : null;
}

export const stripHeight = (height) => Math.ceil(height / ROWS / 2) * 2;

// Returns rows of luma that are as wide as a picture and its background's period.
export function background(width, height) {
  const rows = new Uint8Array((width + PERIOD) * height);
  const turn = (2 * Math.PI) / PERIOD;
  for (let [i, y] = [0, 0]; y < height; y += 1) {
    for (let x = 0; x < width + PERIOD; x += 1, i += 1) {
      const waves =
        50 * Math.sin(turn * x) * Math.sin(2 * turn * y) + 30 * Math.sin(turn * (7 * x + 9 * y));
      rows[i] = 128 + waves;
    }
  }
  return rows;
}

// Paints a number along the upper edge of luma.
export function stamp(luma, number, width, height) {
  const wide = width / BLOCKS;
  blocks(number).forEach((white, i) => {
    for (let y = 0; y < height / ROWS; y += 1) {
      luma.fill(white ? WHITE : BLACK, y * width + i * wide, y * width + (i + 1) * wide);
    }
  });
}

export class Painter {
  #background = background(WIDTH, HEIGHT);
  #tile = null;

  // Returns the planes of a new picture, I420.
  paint(number) {
    const left = (number * STEP) % PERIOD;
    const planes = new Uint8Array((WIDTH * HEIGHT * 3) / 2).fill(128);
    for (let y = 0; y < HEIGHT; y += 1) {
      const from = y * (WIDTH + PERIOD) + left;
      planes.set(this.#background.subarray(from, from + WIDTH), y * WIDTH);
    }
    stamp(planes, number, WIDTH, HEIGHT);
    return planes;
  }

  // Draws a picture on a canvas of this size.
  draw(context, number) {
    this.#tile ??= this.#makeTile();
    context.drawImage(this.#tile, -((number * STEP) % PERIOD), 0);
    const [wide, tall] = [WIDTH / BLOCKS, HEIGHT / ROWS];
    blocks(number).forEach((white, i) => {
      context.fillStyle = white ? "white" : "black";
      context.fillRect(i * wide, 0, wide, tall);
    });
  }

  #makeTile() {
    const tile = new OffscreenCanvas(WIDTH + PERIOD, HEIGHT);
    const pixels = new ImageData(WIDTH + PERIOD, HEIGHT);
    this.#background.forEach((gray, i) => pixels.data.set([gray, gray, gray, 255], 4 * i));
    tile.getContext("2d").putImageData(pixels, 0, 0);
    return tile;
  }
}
