// Gives a component its globals, before the author's module runs: entry.js imports this first.

import host from "damper:provider/host@0.1.0";

import { life } from "./backend.js";
import { installGlobals } from "./globals.js";

// While the component is built there is no log.
installGlobals((level, message) => {
  if (life.isCalled) host.log(level, message);
});
