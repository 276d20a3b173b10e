// What is on the screen. Without a document (in tests) there is none.
if (typeof document !== "undefined") {
  const $ = (id) => document.getElementById(id);
  const element = (tag, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };
  const option = (value, text) => element("option", { value }, text);
  const short = (version) => version.join(".").replace(/\.0$/, "");
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
      const since = `Linux ${short(flag.since)}${flag.clone3 ? ", clone3 only" : ""}`;
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
  $("kernel").append(...DATA.kernels.map((kernel) => option(kernel.join("."), short(kernel))));

  // The second set of the comparison: a preset's id, or a set that was kept, as its number.
  let other = "";
  function setOther(value) {
    const options = [option("", "nothing"), ...DATA.presets.map((preset) => option(preset.id, preset.name))];
    if (/^0x[0-9a-f]+$/.test(value)) options.push(option(value, `the kept set ${value}`));
    $("other").replaceChildren(...options);
    other = value;
    $("other").value = value;
  }
  function otherFlags() {
    const preset = DATA.presets.find((known) => known.id === other);
    if (preset) return [preset.name, bits(preset.flags)];
    return /^0x[0-9a-f]+$/.test(other) ? ["kept", bits(other)] : null;
  }

  // The preset's story is on its button, for everyone to read.
  const buttons = DATA.presets.map((preset) => {
    const button = element("button", { type: "button" }, element("strong", {}, preset.name),
      element("small", {}, preset.story));
    button.addEventListener("click", () => {
      show(bits(preset.flags), preset.signal);
      $("call").value = preset.call;
      update();
    });
    $("presets").append(button);
    return [preset, button];
  });
  $("preset").append(option("", "none of these"), ...DATA.presets.map((preset) => option(preset.id, preset.name)));
  $("preset").addEventListener("change", () => {
    const chosen = DATA.presets.find((preset) => preset.id === $("preset").value);
    if (!chosen) return;
    show(bits(chosen.flags), chosen.signal);
    $("call").value = chosen.call;
  });
  let task = null;
  const taskButtons = TASKS.map((one, index) => {
    const button = element("button", { type: "button" }, `${index + 1}. ${one.title}`);
    button.addEventListener("click", () => {
      task = one;
      if (one.start) {
        show(one.start[0], one.start[1]);
        $("call").value = one.start[2];
      }
      update();
    });
    $("tasks").append(button);
    return [one, button];
  });
  $("keep").addEventListener("click", () => {
    setOther(`0x${flagsTicked().toString(16)}`);
    update();
  });

  const flagsTicked = () => [...boxes].reduce((set, [flag, box]) => (box.checked ? set | bits(flag.bit) : set), 0n);
  function show(flags, signal) {
    for (const [flag, box] of boxes) box.checked = meets(flags, bits(flag.bit));
    $("signal").value = String(signal);
  }
  const factsTicked = () => [...factBoxes].filter(([, box]) => box.checked).map(([id]) => id);
  function read() {
    return {
      flags: flagsTicked(), signal: Number($("signal").value), call: $("call").value,
      kernel: $("kernel").value.split(".").map(Number),
      facts: new Set([...DATA.callers[$("caller").value], ...factsTicked()]),
    };
  }

  // One box for both, or a box for each: the same elements, so that they move.
  const pairs = pictureOf(0n).map(() => {
    const left = element("span", { className: "box left" });
    const right = element("span", { className: "box right" });
    const pair = element("div", { className: "pair" }, left, right);
    $("rows").append(pair);
    const mini = element("span");
    $("mini").append(mini);
    return { pair, left, right, mini };
  });
  const WORDS = { Shared: "shared", Copied: "copied", New: "new", Reset: "none" };
  function draw(request, refused) {
    const rows = pictureOf(request.flags);
    rows.forEach((row, index) => {
      const one = row.effect === "Shared";
      const { pair, left, right, mini } = pairs[index];
      mini.className = one ? "one" : "";
      pair.className = `pair${one ? " one" : ""}${refused ? " refused" : ""}`;
      left.textContent = row.label;
      right.textContent = one ? "one for both" : `${WORDS[row.effect]}${row.note ? `: ${row.note}` : ""}`;
    });
    $("maker").textContent = "maker: pid 100, tid 100";
    $("child").textContent = isThread(request.flags) ? "child: pid 100, tid 101" : "child: pid 101, tid 101";
    const named = (one) => rows.filter((row) => (row.effect === "Shared") === one).map((row) => row.label).join(", ");
    $("picture-text").textContent = `${refused ? "Refused; if it were not: one" : "One"} for both: ${named(true) || "nothing"}. `
      + `Each its own: ${named(false) || "nothing"}.`;
  }
  function teach(request, refused) {
    for (const [one, button] of taskButtons) button.setAttribute("aria-pressed", String(one === task));
    $("hint").hidden = task !== null;
    const steps = task ? task.steps : [];
    $("steps").replaceChildren(...steps.map(([text, test]) => element("li",
      { className: test(request) ? "is-done" : "" }, `${test(request) ? "✓ " : ""}${text}`)));
    const all = steps.every(([, test]) => test(request));
    $("done").textContent = task && all && !refused ? task.done : "";
  }
  function compare(request) {
    const second = otherFlags();
    const head = second ? [element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "resource"),
      element("th", { scope: "col" }, "this set"), element("th", { scope: "col" }, second[0]),
      element("th", { scope: "col", className: "means" }, "of this set")))] : [];
    const rows = sideBySide(request.flags, second ? second[1] : request.flags).map(([resource, effect, theirs]) => {
      const cells = [element("th", { scope: "row" }, resource.name), element("td", { className: `word ${effect}` }, WORDS[effect])];
      if (second) cells.push(element("td", { className: `word ${theirs}` }, WORDS[theirs]));
      cells.push(element("td", { className: "means" }, resource.says[effect] ?? ""));
      return element("tr", { className: effect === theirs ? "" : "differs" }, ...cells);
    });
    $("effects").replaceChildren(element("table", { className: second ? "beside" : "" }, ...head, element("tbody", {}, ...rows)));
  }
  function update() {
    const request = read();
    const broken = brokenRules(request);
    const cannot = request.call === "clone" && needsClone3(request.flags);
    const refused = cannot || broken.length > 0;
    const verdict = $("verdict");
    verdict.className = refused ? "bad" : "good";
    verdict.textContent = cannot ? "clone has no bits for all of these flags: take clone3."
      : broken.length ? `Refused. Rule ${broken[0].text}.` : "Accepted.";
    $("broken").replaceChildren(...broken.slice(1).map((rule) => element("li", {}, `also broken: ${rule.text}`)));
    const [is, joins, has] = refused ? ["would be", "would join", "would have"] : ["is", "joins", "has"];
    $("kind").textContent = isThread(request.flags)
      ? `It ${is} a thread: it ${joins} the thread group of its maker.`
      : `It ${is} a process: it ${has} a pid of its own.`;
    $("gets").textContent = `What the new task ${refused ? "would get" : "gets"}`;
    const fits = matching(request.flags, request.signal);
    $("matches").textContent = fits.length
      ? `So it is made by: ${fits.map((preset) => preset.name).join(", ")}.` : "No known system makes such tasks.";
    for (const [preset, button] of buttons) button.setAttribute("aria-pressed", String(fits.includes(preset)));
    $("preset").value = fits.length ? fits[0].id : "";
    draw(request, refused);
    teach(request, refused);
    compare(request);
    $("prove").textContent = proveIt(request);
    $("c").textContent = codeInC(request);
    $("rust").textContent = codeInRust(request);
    history.replaceState(null, "", toLink(request, $("caller").value, factsTicked(), other));
  }
  function open() {
    const first = DATA.presets.find((preset) => preset.id === "rawthread");
    const given = fromLink(location.hash);
    show(given ? given.flags : bits(first.flags), given ? given.signal : first.signal);
    $("call").value = given ? given.call : "clone3";
    $("caller").value = given ? given.caller : "user";
    $("kernel").value = given ? given.kernel : DATA.kernels[0].join(".");
    for (const [id, box] of factBoxes) box.checked = Boolean(given && given.facts.includes(id));
    setOther(given ? given.other : "");
    update();
  }
  document.addEventListener("change", () => {
    other = $("other").value;
    update();
  });
  open();
}
