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
ids.get("call").value = "clone3";
ids.get("caller").value = "user";
globalThis.document = Object.assign(new Element("document"), {
  getElementById: (id) => ids.get(id),
  createElement: (tag) => new Element(tag),
});
globalThis.location = { hash: "" };
globalThis.history = { replaceState: (_, __, hash) => { location.hash = hash; } };
new Function(script)();
const shown = () => ["verdict", "kind", "gets", "matches", "effects", "c", "rust"]
  .reduce((all, id) => ({ ...all, [id]: ids.get(id).textContent }), { hash: location.hash });
const steps = [shown()];
const preset = ids.get("presets").children.find((button) => button.textContent === "fork");
preset.listeners.click();
steps.push(shown());
const boxes = ids.get("flags").children.flatMap((set) => set.children);
const thread = boxes.find((label) => label.textContent.includes("CLONE_THREAD "));
thread.children[0].checked = true;
document.listeners.change();
steps.push(shown());
console.log(JSON.stringify(steps));
