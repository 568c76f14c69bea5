#!/usr/bin/env node
'use strict';
// `npx internvl-mcp …`: starts the Python server from its own environment, and makes that environment the first time.
//
// The usual start reads one small file and spawns; everything that the first start needs is loaded only then.

const { placeOf, isReady } = require('./place.js');

function main() {
  const words = process.argv.slice(2);
  const place = placeOf(process.env);
  if (!place.failure && isReady(place)) {
    require('./run.js').runWarm(place, words);
  } else {
    require('./cold.js').start(place, words);
  }
}

main();
