// node dom.test.js PAGE: opens the page on a document that is just large enough, ticks and clicks,
// and prints what is on the screen after each step.
"use strict";
const fs = require("fs");
const html = fs.readFileSync(process.argv[2], "utf8");
const script = html.match(/<script>([\s\S]*)<\/script>/)[1];
class Element {
  constructor(tag) { this.tag = tag; this.children = []; this.listeners = {}; this.attributes = {}; this.value = ""; }
  append(...more) { this.children.push(...more); }
  replaceChildren(...only) { this.children = only; }
  setAttribute(name, value) { this.attributes[name] = value; }
  addEventListener(name, f) { this.listeners[name] = f; }
  set textContent(text) { this.children = [text]; }
  get textContent() { return this.children.map((child) => child.textContent ?? child).join(" "); }
}
const ids = new Map([...html.matchAll(/id="([a-z-]+)"/g)].map(([, id]) => [id, new Element("div")]));
globalThis.document = Object.assign(new Element("document"), {
  getElementById: (id) => ids.get(id),
  createElement: (tag) => new Element(tag),
});
globalThis.location = { hash: process.argv[3] ?? "" };
globalThis.history = { replaceState: (_, __, hash) => { location.hash = hash; } };
new Function(script)();
const shown = () => ["verdict", "kind", "gets", "matches", "effects", "c", "rust", "prove", "rows", "child", "steps", "done",
  "picture-text"]
  .reduce((all, id) => ({ ...all, [id]: ids.get(id).textContent }), { hash: location.hash });
const steps = [shown()];
const preset = ids.get("presets").children.find((button) => button.children[0].textContent === "fork");
preset.listeners.click();
steps.push(shown());
const boxes = ids.get("flags").children.flatMap((set) => set.children);
const thread = boxes.find((label) => label.textContent.includes("CLONE_THREAD "));
thread.children[0].checked = true;
document.listeners.change();
steps.push(shown());
// The first task, tick by tick.
const tick = (name, checked) => {
  boxes.find((label) => label.textContent.includes(`${name} `)).children[0].checked = checked;
  document.listeners.change();
  steps.push(shown());
};
ids.get("tasks").children[0].listeners.click();
steps.push(shown());
for (const name of ["CLONE_VM", "CLONE_SIGHAND", "CLONE_THREAD"]) tick(name, true);
// Another caller, another kernel, beside a preset.
ids.get("caller").value = "root";
ids.get("kernel").value = "5.3.0";
ids.get("other").value = "fork";
document.listeners.change();
steps.push(shown());
console.log(JSON.stringify(steps));
