// What is on the screen. Without a document (in tests) there is none.
if (typeof document !== "undefined") {
  const $ = (id) => document.getElementById(id);
  const element = (tag, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };
  const option = (value, text) => element("option", { value }, text);
  const GROUPS = [
    ["Share with the maker", ["VM", "FS", "FILES", "SIGHAND", "SYSVSEM", "IO"]],
    ["Place among tasks", ["THREAD", "PARENT", "VFORK", "PTRACE", "UNTRACED"]],
    ["New namespaces", ["NEWUSER", "NEWPID", "NEWNS", "NEWNET", "NEWIPC", "NEWUTS", "NEWCGROUP", "NEWTIME"]],
  ];
  const grouped = new Set(GROUPS.flatMap(([, names]) => names));
  GROUPS.push(["The rest", DATA.flags.map((flag) => flag.name.slice(6)).filter((name) => !grouped.has(name))]);

  const boxes = new Map();
  for (const [title, names] of GROUPS) {
    const set = element("fieldset", {}, element("legend", {}, title));
    for (const name of names) {
      const flag = DATA.flags.find((known) => known.name === `CLONE_${name}`);
      const box = element("input", { type: "checkbox" });
      boxes.set(flag, box);
      const since = `Linux ${flag.since.join(".").replace(/\.0$/, "")}${flag.clone3 ? ", clone3 only" : ""}`;
      set.append(element("label", { className: "flag" }, box, element("span", {}, flag.name),
        element("small", {}, `${flag.does} ${since}; ${flag.source}.`)));
    }
    $("flags").append(set);
  }
  const factBoxes = new Map();
  for (const fact of DATA.facts) {
    const box = element("input", { type: "checkbox" });
    factBoxes.set(fact.id, box);
    $("facts").append(element("label", { className: "flag" }, box, element("span", {}, fact.says)));
  }
  $("signal").append(option("0", "none"), ...DATA.signals.map((name, index) => option(`${index + 1}`, `SIG${name}`)));
  $("kernel").append(...DATA.kernels.map((kernel) => option(kernel.join("."), kernel.join(".").replace(/\.0$/, ""))));
  const buttons = DATA.presets.map((preset) => {
    const button = element("button", { type: "button", title: preset.story }, preset.name);
    button.addEventListener("click", () => {
      show(bits(preset.flags), preset.signal);
      $("call").value = preset.call;
      update();
    });
    $("presets").append(button);
    return [preset, button];
  });

  const ticked = () => [...boxes].reduce((set, [flag, box]) => (box.checked ? set | bits(flag.bit) : set), 0n);
  function show(flags, signal) {
    for (const [flag, box] of boxes) box.checked = meets(flags, bits(flag.bit));
    $("signal").value = String(signal);
  }
  function read() {
    const facts = new Set(DATA.callers[$("caller").value]);
    for (const [id, box] of factBoxes) if (box.checked) facts.add(id);
    return {
      flags: ticked(), signal: Number($("signal").value), call: $("call").value,
      kernel: $("kernel").value.split(".").map(Number), facts,
    };
  }
  function update() {
    const request = read();
    const broken = brokenRules(request);
    const cannot = request.call === "clone"
      && DATA.flags.some((flag) => flag.clone3 && meets(request.flags, bits(flag.bit)));
    const verdict = $("verdict");
    const refused = cannot || broken.length > 0;
    verdict.className = refused ? "bad" : "good";
    verdict.textContent = cannot ? "clone has no bits for all of these flags: take clone3."
      : broken.length ? `Refused. Rule ${broken[0].text}.` : "Accepted.";
    $("broken").replaceChildren(...broken.slice(1).map((rule) => element("li", {}, `also broken: ${rule.text}`)));
    const [is, joins, has] = refused ? ["would be", "would join", "would have"] : ["is", "joins", "has"];
    $("kind").textContent = meets(request.flags, FLAG.CLONE_THREAD)
      ? `It ${is} a thread: it ${joins} the thread group of its maker.`
      : `It ${is} a process: it ${has} a pid of its own.`;
    $("gets").textContent = `What the new task ${refused ? "would get" : "gets"}`;
    const fits = matching(request.flags, request.signal);
    $("matches").textContent = fits.length
      ? `So it is made by: ${fits.map((preset) => preset.name).join(", ")}.` : "Nobody is known to make tasks so.";
    for (const [preset, button] of buttons) button.setAttribute("aria-pressed", String(fits.includes(preset)));
    const words = { Shared: "shared", Copied: "copied", New: "new", Reset: "none" };
    $("effects").replaceChildren(element("table", {}, element("tbody", {}, ...effectsOf(request.flags)
      .map(([resource, effect]) => element("tr", {}, element("th", { scope: "row" }, resource.name),
        element("td", { className: `word ${effect}` }, words[effect]),
        element("td", { className: "means" }, resource.says[effect] ?? ""))))));
    $("c").textContent = codeInC(request);
    $("rust").textContent = codeInRust(request);
    history.replaceState(null, "", `#0x${request.flags.toString(16)},${request.signal},${request.call}`);
  }
  const [flags, signal, call] = location.hash.slice(1).split(",");
  const first = DATA.presets.find((preset) => preset.id === "rawthread");
  const readable = /^0x[0-9a-f]+$/.test(flags);
  show(readable ? bits(flags) : bits(first.flags), readable ? Number(signal) || 0 : first.signal);
  if (call === "clone" || call === "clone3") $("call").value = call;
  $("kernel").value = DATA.kernels[0].join(".");
  document.addEventListener("change", update);
  update();
}
