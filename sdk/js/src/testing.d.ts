// A scripted API, for an author's own tests: the provider function runs under node, and sees what it sees in a component.

export { FetchRequest } from "./index.js";

export type Level = "debug" | "info" | "warn" | "error";

/** Why there was no whole answer, in the contract's words. */
export type HttpErrorTag =
  | "denied" | "invalid" | "unreachable" | "broken" | "timed-out" | "too-large" | "redirects" | "other";

/** A scripted API, and the host around it. */
export class Api {
  readonly logged: Array<[Level, string]>;
  readonly requestsSent: number;
  /**
   * A request may name the credentials of `manifest`, a path; by default of the provider.toml in the working folder or above.
   * `guarded: false` shows the function all that node has, for a debugger.
   */
  constructor(options?: { manifest?: string; guarded?: boolean });
  config(key: string, value: string): this;
  signature(credential: string, bytes: Iterable<number>): this;
  get(url: string): Expectation;
  post(url: string): Expectation;
  expect(method: string, url: string): Expectation;
  clearCache(): this;
  /**
   * Runs a provider function against the script, with the globals of a component. @throws where a request differs, is one too many,
   * or is not sent.
   */
  run<T>(test: () => T): T;
}

/** An expected request being described; `answers` or `fails` ends it. */
export interface Expectation {
  header(name: string, value: string): this;
  credential(name: string): this;
  body(body: string | Uint8Array): this;
  answerHeader(name: string, value: string): this;
  answerUrl(url: string): this;
  answers(status: number, body?: string | Uint8Array): Api;
  fails(tag: HttpErrorTag, value?: string | number): Api;
}
