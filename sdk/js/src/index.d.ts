// Types of the SDK. A provider is a module that exports `fetchRecord: FetchRecord`; see README.md.

/** The function that a provider's module exports, as `fetchRecord`. A plain function: the host waits for it. */
export type FetchRecord = (request: FetchRequest) => Record;

/** One record to fetch. */
export class FetchRequest {
  /** The first attempt at a record, for tests: the host makes the real ones. */
  constructor(id: string, options?: FetchRequestOptions);
  /** The record's identifier in the API's terms, at most 512 bytes. It comes from outside: `path` and `query` quote it. */
  readonly id: string;
  /** Further parameters of the item. */
  readonly params: Readonly<{ [name: string]: string }>;
  /** Which attempt at this item this is; the first is 1. */
  readonly attempt: number;
  /** The provider's day, `YYYY-MM-DD`. */
  readonly day: string;
  /** How long the call may take from its beginning, in milliseconds; after that the host ends it. */
  readonly deadlineMs: number;
  /** The bytes that this item's last call threw `NotReady` with; undefined where no call did. */
  readonly resume: Uint8Array | undefined;
  /** The same as text. */
  readonly resumeText: string | undefined;
  /** Fields that later versions of the contract add; unknown names are to be ignored. */
  readonly extras: ReadonlyArray<readonly [string, string]>;
  /** A parameter of the item, if it has it. */
  param(name: string): string | undefined;
  /** A parameter without which the record cannot be fetched. @throws {Rejected} where the item lacks it. */
  requiredParam(name: string): string;
}

export interface FetchRequestOptions {
  params?: { [name: string]: string };
  attempt?: number;
  day?: string;
  deadlineMs?: number;
  /** What the item's last call threw `NotReady` with. */
  resume?: string | Uint8Array;
  extras?: Array<[string, string]>;
}

/** A record, as the API gave it: a body with its media type, and small facts beside it. */
export class Record {
  /** A record of any media type. */
  constructor(contentType: string, body: string | Uint8Array, attributes?: { [name: string]: string });
  /** A JSON answer as it came, byte for byte, once it is sure that it is JSON. @throws {Malformed} where it is not. */
  static json(answer: Response): Record;
  /** A value of one's own, as JSON. @throws {Malformed} where it has no form in JSON. */
  static fromValue(value: unknown): Record;
  /** An answer as it came, with its own content type and unread. */
  static raw(answer: Response): Record;
  /** Plain text. */
  static text(text: string): Record;
  /** The body's media type: JSON is stored as JSON, other text as text, anything else in base64. */
  readonly contentType: string;
  readonly body: Uint8Array;
  readonly attributes: Readonly<{ [name: string]: string }>;
  /** The same record with a small fact to store beside the body; a name that is set again takes the new value. */
  withAttribute(name: string, value: string | number | boolean): Record;
}

/** The types of a value in a URL; the author converts anything else to text. */
export type Value = string | number | bigint | boolean;

/** A GET of a URL; see `Request.path` for what may stand in it. */
export function get(url: string): Request;
/** A HEAD of a URL. */
export function head(url: string): Request;
/** A POST to a URL. */
export function post(url: string): Request;
/** A PUT to a URL. */
export function put(url: string): Request;
/** A request of any method, in capitals. */
export function request(method: string, url: string): Request;

/**
 * Sends several requests and waits for all; answers come in the order of the requests, a `Response` or the `Failure` that took
 * its place. They run side by side as far as the provider's concurrency has room.
 */
export function sendAll(requests: Iterable<Request>): Array<Response | Failure>;

/** A request being built. Nothing is sent before `send`; a mistake on the way is thrown by it. */
export class Request {
  constructor(method: string, url: string);
  /**
   * Fills `{name}` in the URL's path or query. The value is percent-encoded whole, so that an id with slashes, quotes or
   * newlines stays inside its segment; one that no segment can carry (empty, or dots alone) makes `send` throw `Rejected`.
   */
  path(name: string, value: Value): this;
  /** Appends a path to the URL, with one slash between; it may hold placeholders. */
  join(path: string): this;
  /** Adds `name=value` to the query, both percent-encoded. */
  query(name: string, value: Value): this;
  /** Adds a header. Host, Authorization, Cookie, Proxy-* and the like are the host's: see `credential`. */
  header(name: string, value: string): this;
  /** Lets the host apply a credential of provider.toml, one after another where an API wants more. No secret enters the provider. */
  credential(name: string): this;
  /** Gives this request less time than the whole call has. */
  timeout(milliseconds: number): this;
  /** Sets the body and its media type. */
  body(contentType: string, body: string | Uint8Array): this;
  /** Sets the body to a value as JSON. */
  json(value: unknown): this;
  /** Sets the body to a form (`application/x-www-form-urlencoded`). */
  form(fields: { [name: string]: Value } | Array<[string, Value]>): this;
  /** Sends the request and waits for its whole answer, of whatever status. @throws {Failure} where there is none. */
  send(): Response;
}

/** One whole answer, of whatever status. */
export class Response {
  private constructor();
  readonly status: number;
  /** Names in lower case, in the order received. */
  readonly headers: ReadonlyArray<readonly [string, string]>;
  /** The body, decompressed. */
  readonly body: Uint8Array;
  /** The URL that answered, after redirects. */
  readonly url: string;
  readonly durationMs: number;
  /** How long the API asks to be left alone (Retry-After, in seconds or as a date), in milliseconds from now. */
  readonly retryAfterMs: number | undefined;
  /** How long until the API counts requests anew (RateLimit-Reset and its like), in milliseconds from now. */
  readonly rateLimitResetMs: number | undefined;
  /** The first header of a name, in whatever case. */
  header(name: string): string | undefined;
  /** The body as text: by its byte order mark, its charset, or as UTF-8. @throws {Malformed} where it is not in that encoding. */
  text(): string;
  /** The body parsed as XML, in its encoding. @throws {Malformed} where it is not well-formed, or refused; see `xml`. */
  xml(): xml.Element;
  /** The body parsed as JSON. @throws {Malformed} where it is none. */
  json(): any;
  /** This answer if its status is 2xx. @throws {Failure} that the status stands for, else. */
  ok(): this;
}

/** Why there is no record; throw one of the classes below, which name the kinds. */
export class Failure extends Error {
  protected constructor(kind: string, message: string, options?: FailureOptions);
  /** The kind of the contract, or the name that `Other` was given. */
  readonly kind: string;
  readonly retryAfterMs: number | undefined;
  readonly status: number | undefined;
}

export interface FailureOptions {
  /** How long the API asked to be left alone, from now. */
  retryAfterMs?: number;
  /** The HTTP status that led here. */
  status?: number;
}

/** The API asks for fewer requests. No attempt is spent; everything to this API waits. */
export class Throttled extends Failure {
  constructor(message: string, options?: FailureOptions);
}
/** The API does not work. Retried; an attempt is spent only where other items succeed at the same time. */
export class Unavailable extends Failure {
  constructor(message: string, options?: FailureOptions);
}
/** The API did not answer in time. Treated like `Unavailable`. */
export class TimedOut extends Failure {
  constructor(message: string, options?: FailureOptions);
}
/** The API does not accept the credential. No attempt is spent; the provider stops until an operator has seen to it. */
export class Unauthorized extends Failure {
  constructor(message: string, options?: FailureOptions);
}
/** The API has no such record. Final. */
export class NotFound extends Failure {
  constructor(message: string, options?: FailureOptions);
}
/** The request cannot succeed, now or later: for instance an id of the wrong shape. Final. */
export class Rejected extends Failure {
  constructor(message: string, options?: FailureOptions);
}
/** The answer cannot be read. Retried a few times. */
export class Malformed extends Failure {
  constructor(message: string, options?: FailureOptions);
}
/**
 * The API has taken the order, and the record is not ready yet. No attempt is spent. The item is asked for again after
 * `retryAfterMs`, and that call gets `resume`, at most 4 KiB: the order's number, for instance.
 */
export class NotReady extends Failure {
  constructor(message: string, options?: FailureOptions & { resume?: string | Uint8Array });
  readonly resume: Uint8Array;
}
/** Anything else, by a name of your own. Treated like `Malformed`. */
export class Other extends Failure {
  constructor(name: string, message: string, options?: FailureOptions);
}

/** JSON documents, looked up by JSON Pointer (RFC 6901). */
export namespace json {
  /** Parses a document. @throws {Malformed} where it is none. */
  function parse(text: string): any;
  /** The value at a pointer, or undefined. */
  function lookup(document: unknown, pointer: string): any;
  /** The value at a pointer. @throws {Malformed} where there is none. */
  function at(document: unknown, pointer: string): any;
  /** The text at a pointer. @throws {Malformed} where there is none, or something else. */
  function textAt(document: unknown, pointer: string): string;
}

/** The API has taken an order: what `twoStep.ordered` returns. */
export interface Ordered {
  readonly order: string;
  readonly retryAfterMs: number | undefined;
}
/** The record of an order is not ready: what `twoStep.pending` returns. */
export interface Pending {
  readonly retryAfterMs: number | undefined;
}

/**
 * APIs that take an order first, and have its record later. `fetch` places the order and remembers it as the item's resume
 * state. It is called again when the API said, perhaps in another process, and polls the order until its record is ready.
 */
export const twoStep: {
  /**
   * Fetches the record of an item by an order. `place` gets an idempotency key, which is the same for the same item and day;
   * `poll` gets the order that `place` returned. @throws {NotReady} until the record is there.
   */
  fetch(
    request: FetchRequest,
    steps: { place: (key: string) => Ordered | Record; poll: (order: string) => Pending | Record | symbol },
  ): Record;
  /** The API has taken this order, by its number or the URL to poll. @throws {Malformed} if it is neither a text nor a number. Without `retryAfterMs` Damper's backoff decides when it is asked. */
  ordered(order: string | number, retryAfterMs?: number): Ordered;
  /** The record is not ready; without `retryAfterMs` Damper's backoff decides when the API is asked again. */
  pending(retryAfterMs?: number): Pending;
  /** The API does not know the order any more; it is placed once more. This says nothing about the record. */
  readonly forgotten: symbol;
  /** A UUID made of the item's id and parameters, its day, and how often its order was forgotten. */
  idempotencyKey(request: FetchRequest, times?: number): string;
};

/**
 * XML documents (1.0, with namespaces), read safely: no document type, no entities of one's own, elements at most 64 deep, at most
 * 100,000 elements and attributes.
 */
export namespace xml {
  /**
   * Parses a document and gives its outermost element. Bytes are decoded by their byte order mark, else by the `charset` of the
   * content type, else by the XML declaration, else as UTF-8. @throws {Malformed}
   */
  function parse(document: string | Uint8Array, contentType?: string): Element;
  /** A text as it may stand between tags or in an attribute of a document. @throws {Rejected} where none can hold it. */
  function escape(value: string): string;
  /** An element, with everything in it. */
  class Element {
    private constructor();
    /** The namespace of its name; empty if there is none. */
    readonly namespace: string;
    /** Its name, without a prefix. */
    readonly name: string;
    /** All elements directly in this one, in order. */
    readonly children: ReadonlyArray<Element>;
    /** The text directly in this element, without blanks around it. */
    readonly text: string;
    /** Whether it has this name of this namespace, whatever prefix the document gives it. */
    is(namespace: string, name: string): boolean;
    /** The value of an attribute without a prefix. */
    attribute(name: string): string | undefined;
    /** The value of an attribute of a namespace. */
    attributeIn(namespace: string, name: string): string | undefined;
    /** The elements of a name directly in this one, in order. */
    childrenNamed(namespace: string, name: string): Element[];
    /** The first element of a name directly in this one. */
    child(namespace: string, name: string): Element | undefined;
    /** The first element of a name directly in this one. @throws {Malformed} where there is none. */
    required(namespace: string, name: string): Element;
  }
}

/** Text from outside. */
export const text: {
  /**
   * The text of a body: by its byte order mark, else by the `charset` of its content type, else as UTF-8. UTF-8, UTF-16,
   * ISO-8859-1, -2, -9 and -15, and windows-1250, -1251, -1252 and -1254 are read. @throws {Malformed}
   */
  decode(bytes: Uint8Array, contentType?: string): string;
  /** The beginning of a text, at most 160 characters on one line, fit for a message. */
  short(text: string): string;
};

/** Stable ids: the same text gives the same id, in each attempt. For an idempotency key, or a record without an id. */
export namespace ids {
  /** Namespaces of RFC 9562, section 6.6. */
  const NAMESPACE_DNS: string;
  const NAMESPACE_URL: string;
  const NAMESPACE_OID: string;
  /** The UUID of a name in a namespace, which is a UUID itself (RFC 9562, version 5). @throws {Other} where it is none. */
  function uuidV5(namespace: string, name: string): string;
  /** SHA-256 (FIPS 180-4) of text in UTF-8 or of bytes, in lower-case hexadecimal. */
  function sha256Hex(value: string | Uint8Array): string;
}

/** The manifest's `[config]`: what the operator may set for this provider. */
export const config: {
  /** A key as the operator set it, or its default; undefined where the manifest does not list it. */
  get(key: string): string | undefined;
  /** A key without which the provider cannot work. @throws {Other} "config", with what to set. */
  required(key: string): string;
  /** Whether a key is "true". */
  flag(key: string): boolean;
};

/** The provider's log; `console` goes the same way. */
export const log: {
  debug(message: unknown): void;
  info(message: unknown): void;
  warn(message: unknown): void;
  error(message: unknown): void;
};

/** A signature's bytes, and the ways in which APIs want them written. */
export class Signature {
  constructor(bytes: Uint8Array);
  readonly bytes: Uint8Array;
  hex(): string;
  base64(): string;
  base64Url(): string;
}

/** HMACs with a secret that stays in the host; the credential is one of kind `hmac` in provider.toml. */
export const sign: {
  /** @throws {Other} "config" without such a credential, {Unauthorized} where it has no secret. */
  hmacSha256(credential: string, payload: string | Uint8Array): Signature;
  /** @throws {Other} "config" without such a credential, {Unauthorized} where it has no secret. */
  hmacSha512(credential: string, payload: string | Uint8Array): Signature;
};

/** A small memory that outlives a call, and may forget at any time; cleared whenever a call fails as `unauthorized`. */
export const cache: {
  get(key: string): Uint8Array | undefined;
  put(key: string, value: string | Uint8Array, ttlMs: number): void;
  /** Forgets what is kept under a key, if anything. */
  remove(key: string): void;
  /** The text kept under a key, or what `make` gives, kept from now on. */
  textOr(key: string, ttlMs: number, make: () => string): string;
};
