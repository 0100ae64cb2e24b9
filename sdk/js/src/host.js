// Other services of the host: configuration, log, signatures, a small cache that outlives a call.

import { backend } from "./backend.js";
import { checkMilliseconds } from "./durations.js";
import { Other, Unauthorized } from "./failure.js";
import { bytesOf, decode } from "./utf8.js";

/** The manifest's `[config]`: what the operator may set for this provider. */
export const config = {
  /** A key as the operator set it, or its default; undefined where the manifest does not list it. */
  get(key) {
    return backend().configGet(key) ?? undefined;
  },

  /** A key without which the provider cannot work; `Other("config")`, with what to set, where it is not listed or empty. */
  required(key) {
    const value = config.get(key);
    if (value === undefined) {
      throw new Other("config", `\`${key}\` is not listed under [config] in provider.toml; add it there`);
    }
    if (value.trim() === "") {
      throw new Other("config", `\`${key}\` is not set; set it in this provider's config in damper.toml`);
    }
    return value;
  },

  /** A key that switches something: "true", or anything else (also nothing) for false. */
  flag(key) {
    return config.get(key)?.trim().toLowerCase() === "true";
  },
};

const line = (level) => (message) => backend().log(level, String(message));

/** The provider's log. Long lines are cut by the host, and each call has a cap on lines. */
export const log = { debug: line("debug"), info: line("info"), warn: line("warn"), error: line("error") };

/** A signature's bytes, and the ways in which APIs want them written. */
export class Signature {
  constructor(bytes) {
    this.bytes = bytes;
  }

  /** In lower-case hexadecimal. */
  hex() {
    return Array.from(this.bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  /** In base64 with padding. */
  base64() {
    return btoa(String.fromCharCode(...this.bytes));
  }

  /** In base64url without padding. */
  base64Url() {
    return this.base64().replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  }
}

function signed(algorithm) {
  return (credential, payload) => {
    const bytes = bytesOf(payload);
    try {
      return new Signature(backend().sign(credential, algorithm, bytes));
    } catch (error) {
      if (error?.tag === "no-such-credential") {
        throw new Other("config", `provider.toml has no credential \`${credential}\` of kind hmac`);
      }
      if (error?.tag === "no-secret") {
        throw new Unauthorized(`no secret is bound to the credential \`${credential}\`; bind one in damper.toml`);
      }
      throw error;
    }
  };
}

/** Signatures with a secret that stays in the host; the credential is one of kind `hmac` in provider.toml. */
export const sign = { hmacSha256: signed("hmac-sha256"), hmacSha512: signed("hmac-sha512") };

/** A small memory that outlives a call, and may forget at any time: a session login, a token. */
export const cache = {
  /** The bytes kept under a key, if they are still there. */
  get(key) {
    return backend().cacheGet(key) ?? undefined;
  },

  /** Keeps text or bytes for this provider's later calls, at most for `ttlMs` milliseconds. */
  put(key, value, ttlMs) {
    backend().cachePut(key, bytesOf(value), Math.max(0, Math.floor(checkMilliseconds("ttlMs", ttlMs))));
  },

  /** Forgets what is kept under a key, if anything. */
  remove(key) {
    backend().cacheRemove(key);
  },

  /** The text kept under a key, or what `make` gives, kept from now on. */
  textOr(key, ttlMs, make) {
    const kept = cache.get(key);
    if (kept !== undefined) {
      try {
        return decode(kept);
      } catch {
        // Not text: made anew, as if it were not there.
      }
    }
    const value = make();
    cache.put(key, value, ttlMs);
    return value;
  },
};
