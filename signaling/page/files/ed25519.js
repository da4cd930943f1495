// The prime-order group of edwards25519 (RFC 8032, section 5.1), for SPAKE2.
//
// BigInt arithmetic takes some milliseconds for one key exchange. It is not constant-time; each
// secret scalar is used only once, for one exchange that a user has started.

const Q = 2n ** 255n - 19n;
/** The order of the group. */
export const L = 2n ** 252n + 27742317777372353535851937790883648493n;

const D = mod(-121665n * inverse(121666n));
const ROOT_OF_MINUS_ONE = power(2n, (Q - 1n) / 4n);

function mod(number, modulus = Q) {
  const rest = number % modulus;
  return rest < 0n ? rest + modulus : rest;
}

function power(base, exponent) {
  let result = 1n;
  for (let rest = exponent; rest > 0n; rest >>= 1n) {
    if (rest & 1n) result = (result * base) % Q;
    base = (base * base) % Q;
  }
  return result;
}

function inverse(number) {
  return power(mod(number), Q - 2n);
}

/** A point in extended coordinates: x = X/Z, y = Y/Z, x*y = T/Z. */
export class Point {
  constructor(x, y, z, t) {
    this.x = x;
    this.y = y;
    this.z = z;
    this.t = t;
  }

  static zero = new Point(0n, 1n, 1n, 0n);

  /**
   * @param {Uint8Array} bytes 32 bytes
   * @returns {Point} a point of the group other than zero
   * @throws {RangeError} the bytes do not encode such a point
   */
  static decode(bytes) {
    if (bytes.length !== 32) throw new RangeError("a point has 32 bytes");
    const number = littleEndian(bytes);
    const y = number & (2n ** 255n - 1n);
    if (y >= Q) throw new RangeError("not in the field");
    let x = rootFor(y);
    if ((x & 1n) !== number >> 255n) x = mod(-x);
    const point = new Point(x, y, 1n, mod(x * y));
    if (mod(-x * x + y * y - 1n - D * x * x * y * y) !== 0n) throw new RangeError("not on the curve");
    if (point.isZero || !point.times(L).isZero) throw new RangeError("not in the group");
    return point;
  }

  get isZero() {
    return mod(this.x) === 0n && mod(this.y - this.z) === 0n;
  }

  /** Complete addition formulas (add-2008-hwcd-3 in the Explicit-Formulas Database). */
  plus(other) {
    const a = mod((this.y - this.x) * (other.y - other.x));
    const b = mod((this.y + this.x) * (other.y + other.x));
    const c = mod(2n * D * this.t * other.t);
    const d = mod(2n * this.z * other.z);
    const [e, f, g, h] = [b - a, d - c, d + c, b + a];
    return new Point(mod(e * f), mod(g * h), mod(f * g), mod(e * h));
  }

  /** @param {bigint} scalar not negative */
  times(scalar) {
    let result = Point.zero;
    let other = this;
    // Montgomery ladder: the same operations for each bit.
    for (let bit = BigInt(scalar.toString(2).length) - 1n; bit >= 0n; bit -= 1n) {
      const sum = result.plus(other);
      if ((scalar >> bit) & 1n) [result, other] = [sum, other.plus(other)];
      else [result, other] = [result.plus(result), sum];
    }
    return result;
  }

  encode() {
    const unit = inverse(this.z);
    const x = mod(this.x * unit);
    const number = mod(this.y * unit) | ((x & 1n) << 255n);
    return Uint8Array.from({ length: 32 }, (_, i) => Number((number >> BigInt(8 * i)) & 255n));
  }
}

/** The even x for a y, if there is one; the caller has to check the result. */
function rootFor(y) {
  const square = mod((y * y - 1n) * inverse(D * y * y + 1n));
  let x = power(square, (Q + 3n) / 8n);
  if (mod(x * x - square) !== 0n) x = mod(x * ROOT_OF_MINUS_ONE);
  return x & 1n ? Q - x : x;
}

export const BASE = (() => {
  const y = mod(4n * inverse(5n));
  const x = rootFor(y);
  return new Point(x, y, 1n, mod(x * y));
})();

function littleEndian(bytes) {
  return bigEndian(bytes.slice().reverse());
}

/** @param {Uint8Array} bytes most significant byte first */
export function bigEndian(bytes) {
  return bytes.reduce((number, byte) => (number << 8n) | BigInt(byte), 0n);
}
