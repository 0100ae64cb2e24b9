// The entry that `damper build` compiles: the author's module, `damper-provider` here, as the component's one export.

import http from "damper:provider/http@0.1.0";
import host from "damper:provider/host@0.1.0";
import "./src/engine.js";
import * as provider from "damper-provider";

import { component } from "./src/component.js";

export const fetchRecord = component(provider, http, host);
