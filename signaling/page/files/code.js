// Codes such as 7-amber-falcon: a number that names the room, and two words that are the secret.

import { TransferError } from "./errors.js";

const PLACES = 1000;

/** The word list: 256 short words that sound different. */
export const WORDS = `
acorn agate album almond amber anchor angle apple april arrow atlas autumn badger bakery bamboo
banjo barley basket beacon berry bicycle birch biscuit blanket blossom bonfire bottle bridge
bronze bucket button cabin cactus camel candle canyon carbon carpet castle cedar cello chapel
cherry chimney cinema circle citron clover cobalt coconut comet compass copper coral cotton
cradle crater cricket crystal curtain cypress dagger daisy dancer delta denim desert diamond
dolphin domino donkey dragon drummer eagle easel eclipse elbow ember emerald engine envelope
ermine espresso evening fabric falcon feather fender fiddle filter flamingo flannel flute forest
fossil fountain freckle frigate galaxy garden garlic gazelle geyser ginger giraffe glacier
goblet gondola granite grape guitar gypsum hammer harbor harvest hazel heather helmet heron
hickory hollow honey horizon hornet husky iceberg igloo indigo iris island ivory jacket jaguar
jasmine jersey jigsaw jungle juniper kayak kernel kettle kiosk kitten koala lagoon lantern
laurel lavender lemon library lilac linen lizard lobster locket lotus lumber magnet magpie
mammoth mango maple marble meadow melon meteor mirror mitten molten monsoon mosaic muffin museum
mustard napkin nectar needle nickel nimbus nutmeg oasis ocean octopus olive onion opal orbit
orchid otter oyster paddle panther papaya parade parsley pebble pelican pepper piano pigeon
pilot pioneer planet plaza plum pocket pollen pony poppy prairie puffin pumpkin pyramid quartz
quiver rabbit radish raven ribbon river robin rocket rooster rubber saddle saffron salmon sandal
sapphire satin scarlet shadow shovel silver siren sketch socket sparrow spiral squirrel stadium
summit sunset tablet temple thunder timber tomato topaz tulip tundra turtle velvet violin walnut
window
`.trim().split(/\s+/);

/** @returns {string} a new code */
export function makeCode() {
  // With 256 words each byte selects one with equal probability.
  const [first, second] = crypto.getRandomValues(new Uint8Array(2));
  const [place] = crypto.getRandomValues(new Uint32Array(1));
  return `${1 + (place % (PLACES - 1))}-${WORDS[first]}-${WORDS[second]}`;
}

/**
 * Parse a code; case is ignored, and spaces may take the place of hyphens.
 *
 * @param {string} text
 * @returns {string} the canonical form of the code
 * @throws {TransferError} the text is not a code
 */
export function parseCode(text) {
  const [place, ...words] = text.trim().toLowerCase().split(/[-\s]+/);
  const invalid = (reason) => new TransferError("invalid-code", reason);
  if (!/^[0-9]{1,6}$/.test(place)) throw invalid("It begins with a number.");
  if (words.length !== 2) throw invalid("Two words follow the number.");
  for (const word of words) {
    if (WORDS.includes(word)) continue;
    const near = WORDS.filter((known) => known.slice(0, 2) === word.slice(0, 2)).slice(0, 4);
    const hint = near.length > 0 ? ` Is it “${near.join("” or “")}”?` : "";
    throw invalid(`“${word}” is no word of a code.${hint}`);
  }
  return [String(Number(place)), ...words].join("-");
}

/** The room of a code on the signaling server, which does not learn the words. */
export function roomOf(code) {
  return `files-${code.split("-")[0]}`;
}
