// The library's tables, read as the library reads them. No document here: tests run this part.
const LOW = 0xffffffffn;
const bits = (text) => BigInt(text);
const has = (set, part) => (set & part) === part;
const meets = (set, part) => (set & part) !== 0n;
const later = (a, b) => {
  for (let i = 0; i < 3; i++) if (a[i] !== b[i]) return a[i] > b[i];
  return false;
};
const FLAG = Object.fromEntries(DATA.flags.map((flag) => [flag.name, bits(flag.bit)]));
const NAMED = DATA.flags.reduce((set, flag) => set | bits(flag.bit), 0n);

// A request: { flags: BigInt, signal, call: "clone" | "clone3", kernel: [a, b, c], facts: Set }.
function asked(request) {
  const tooNew = DATA.flags
    .filter((flag) => meets(request.flags, bits(flag.bit)) && later(flag.since, request.kernel))
    .reduce((set, flag) => set | bits(flag.bit), 0n);
  if (request.call === "clone") {
    const word = (request.flags & LOW) | (BigInt(request.signal) & 0xffn);
    return { ...request, flags: word & ~0xffn & ~tooNew, signal: Number(word & 0xffn), unknown: false };
  }
  const known = request.flags & ~tooNew;
  const implied = meets(known, FLAG.CLONE_EMPTY_MNTNS) ? FLAG.CLONE_NEWNS : 0n;
  const strange = tooNew | (request.flags & ~NAMED);
  return { ...request, flags: request.flags | implied, unknown: meets(strange, ~LOW) };
}

const SIGNAL_IS = {
  Anything: () => true,
  Given: (signal) => signal !== 0,
  Invalid: (signal) => signal > 64 && signal <= 0xff,
  BeyondByte: (signal) => signal > 0xff,
};

function applies(rule, request) {
  const { flags } = request;
  return !later(rule.since, request.kernel)
    && (rule.until === null || later(rule.until, request.kernel))
    && (rule.call === null || rule.call === request.call)
    && has(flags, bits(rule.all))
    && (bits(rule.any) === 0n || meets(flags, bits(rule.any)))
    && !meets(flags, bits(rule.none))
    && (rule.with === null || request.facts.has(rule.with))
    && (rule.unless === null || !request.facts.has(rule.unless))
    // This page knows no caller who is out of namespaces.
    && bits(rule.exhausted) === 0n
    && SIGNAL_IS[rule.signal](request.signal)
    && (!rule.unknown || request.unknown);
}

// Every rule that the call breaks; the kernel answers by the first.
function brokenRules(request) {
  const understood = asked(request);
  return DATA.rules.filter((rule) => applies(rule, understood));
}

// What becomes of every resource, as [resource, effect].
function effectsOf(flags) {
  return DATA.effects.map((resource) => {
    let index = 0;
    resource.flags.forEach((flag, place) => {
      if (meets(flags, bits(flag))) index |= 1 << place;
    });
    return [resource, resource.table[index]];
  });
}

// The presets that fit, exact ones first.
function matching(flags, signal) {
  const counts = (set) => set & ~bits(DATA.bookkeeping);
  const fits = DATA.presets.filter((preset) => preset.signal === signal
    && counts(bits(preset.flags)) === counts(flags));
  const exact = fits.filter((preset) => bits(preset.flags) === flags);
  return [...exact, ...fits.filter((preset) => !exact.includes(preset))];
}

const namesOf = (flags) => DATA.flags.filter((flag) => meets(flags, bits(flag.bit))).map((flag) => flag.name);
const signalName = (signal) => (signal === 0 ? "0" : `SIG${DATA.signals[signal - 1] ?? signal}`);

// A thread, or a process.
const isThread = (flags) => meets(flags, FLAG.CLONE_THREAD);
const needsClone3 = (flags) => DATA.flags.some((flag) => flag.clone3 && meets(flags, bits(flag.bit)));

// What the picture shows: each with its effect, and whether it counts as one object for both.
const PICTURED = [
  ["memory", "memory"],
  ["descriptor table", "descriptors"],
  ["cwd, root and umask", "cwd, root, umask"],
  ["signal handlers", "signal handlers"],
  ["signal mask", "signal mask"],
  ["semaphore adjustments", "semaphore undo"],
  ["I/O context", "I/O context"],
  ["process id", "thread group"],
];
const NEW_NAMESPACES = { NEWUSER: "user", NEWPID: "pid", NEWNS: "mount", NEWNET: "net", NEWIPC: "IPC", NEWUTS: "UTS",
  NEWCGROUP: "cgroup", NEWTIME: "time" };
function pictureOf(flags) {
  const effects = new Map(effectsOf(flags).map(([resource, effect]) => [resource.name, effect]));
  const rows = PICTURED.map(([name, label]) => ({ label, effect: effects.get(name), note: "" }));
  const fresh = Object.entries(NEW_NAMESPACES).filter(([name]) => meets(flags, FLAG[`CLONE_${name}`]))
    .map(([, label]) => label);
  rows.push({ label: "namespaces", effect: fresh.length ? "New" : "Shared", note: fresh.join(", ") });
  return rows;
}

// The tasks for a first visit: each step is done or not, and the kernel must accept the whole.
const hasAll = (...names) => (request) => names.every((name) => meets(request.flags, FLAG[`CLONE_${name}`]));
const TASKS = [
  { title: "Make a thread in three ticks", start: [0n, 0, "clone3"], steps: [
    ["Tick CLONE_VM: one memory for both.", hasAll("VM")],
    ["Tick CLONE_SIGHAND: one table of handlers. The kernel demands it of threads.", hasAll("SIGHAND")],
    ["Tick CLONE_THREAD: one process, so one pid.", hasAll("THREAD")]],
  done: "A thread: the picture has one thread group. Untick CLONE_SIGHAND to see the kernel refuse." },
  { title: "Make a process of it", start: null, steps: [
    ["Untick CLONE_THREAD: a thread group of its own.", (request) => !hasAll("THREAD")(request)],
    ["Choose the exit signal SIGCHLD, so that a plain wait finds it.", (request) => request.signal === 17],
    ["Untick CLONE_SIGHAND and CLONE_VM: copies, as fork makes them.",
      (request) => !hasAll("VM")(request) && !hasAll("SIGHAND")(request)]],
  done: "A process, as fork makes it: everything is copied." },
  { title: "Make a container of it", start: null, steps: [
    ["Tick CLONE_NEWUSER: inside, the child has all rights, so an ordinary user may go on.", hasAll("NEWUSER")],
    ["Tick CLONE_NEWPID and CLONE_NEWNS: it is pid 1 there, and mounts for itself.", hasAll("NEWPID", "NEWNS")],
    ["Tick CLONE_NEWNET: its network has nothing but a loopback.", hasAll("NEWNET")]],
  done: "A container's first process. Untick CLONE_NEWUSER to see what an ordinary user may not." },
];

// The state of the page as the part of its address after "#", and back.
function toLink(request, caller, facts, other) {
  const parts = [`0x${request.flags.toString(16)}`, request.signal, request.call, request.kernel.join("."), caller,
    facts.join("+"), other];
  return `#${parts.join(",").replace(/,+$/, "")}`;
}
function fromLink(hash) {
  const [flags, signal, call, kernel, caller, facts, other] = hash.replace(/^#/, "").split(",");
  if (!/^0x[0-9a-f]+$/.test(flags)) return null;
  const known = (list, value) => (list.includes(value) ? value : list[0]);
  return {
    flags: bits(flags) & NAMED, signal: Number(signal) || 0, call: known(["clone3", "clone"], call),
    kernel: known(DATA.kernels.map((version) => version.join(".")), kernel),
    caller: known(["user", "root"], caller),
    facts: (facts ?? "").split("+").filter((id) => DATA.facts.some((fact) => fact.id === id)),
    other: other ?? "",
  };
}

// The effects that differ between two sets, as [resource, effect, the other's effect].
function sideBySide(flags, other) {
  const others = effectsOf(other);
  return effectsOf(flags).map(([resource, effect], index) => [resource, effect, others[index][1]]);
}
