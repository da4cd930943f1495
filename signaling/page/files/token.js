// The join token of this page, for a server that admits by tokens.

let token = null;

/** The token of the last link, or null. */
export function ownToken() {
  return token;
}

/**
 * Keep the token of a link, and return the code in it.
 *
 * @param {string} fragment as `7-amber-falcon`, `token=…`, or both with `&` in between
 */
export function takeToken(fragment) {
  const parts = fragment.split("&");
  const named = parts.find((part) => part.startsWith("token="));
  if (named) token = named.slice("token=".length);
  return parts.filter((part) => part !== named).join("&");
}
