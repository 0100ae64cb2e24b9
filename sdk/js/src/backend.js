// The host's part: the component's imports in a component, the scripted API of testing.js under node. Everything above this
// is the same in both.

let current;

/** Whether a component is being called. Its modules are loaded while it is built, and then it has no host. */
export const life = { isCalled: false };

/** The host's functions, as component.js or testing.js installed them. */
export function backend() {
  if (current === undefined) {
    throw new Error("under node there is no host: call this inside of run() of damper-sdk/testing, which plays one");
  }
  return current;
}

/** Installs the host's functions; answers what was there before. */
export function install(functions) {
  const before = current;
  current = functions;
  return before;
}
