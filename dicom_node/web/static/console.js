// What the pages need beyond htmx.
"use strict";
