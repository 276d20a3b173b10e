// node verdicts.test.js PAGE < requests: what the page's own tables and logic answer.
"use strict";
const fs = require("fs");
const html = fs.readFileSync(process.argv[2], "utf8");
const script = html.match(/<script>([\s\S]*)<\/script>/)[1];
const page = new Function(`${script}
  return { DATA, brokenRules, effectsOf, matching, codeInC, codeInRust, proveIt, toLink, fromLink, pictureOf };`)();
const answers = JSON.parse(fs.readFileSync(0, "utf8")).map((asked) => {
  const request = { ...asked, flags: BigInt(asked.flags), facts: new Set(asked.facts) };
  return {
    broken: page.brokenRules(request).map((rule) => rule.id),
    effects: page.effectsOf(request.flags).map(([, effect]) => effect),
    matching: page.matching(request.flags, request.signal).map((preset) => preset.id),
    c: page.codeInC(request),
    rust: page.codeInRust(request),
    prove: page.proveIt(request),
    shared: page.pictureOf(request.flags).filter((row) => row.effect === "Shared").map((row) => row.label),
  };
});
console.log(JSON.stringify(answers));
