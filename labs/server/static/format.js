"use strict";
// Numbers as the pages write them.

function seconds(value) {
  return value.toLocaleString("en", { maximumFractionDigits: 1 });
}

function compact(value) {
  return value.toLocaleString("en", { notation: "compact", maximumSignificantDigits: 3 });
}

function pluralize(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
