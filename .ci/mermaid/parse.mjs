// Parses diagrams, given as a JSON list of {where, text} on standard input. Ends with 1 if one is wrong.

import { readFileSync } from "node:fs";
import DOMPurify from "dompurify";

// Makes labels safe to show, which takes a browser. Nothing is shown here.
DOMPurify.sanitize = (text) => text;
DOMPurify.addHook = () => {};
const { default: mermaid } = await import("mermaid");

for (const { where, text } of JSON.parse(readFileSync(0, "utf8"))) {
  try {
    await mermaid.parse(text);
  } catch (error) {
    console.error(`${where}: ${error.message}`);
    process.exitCode = 1;
  }
}
