//! `lab explore`: the page is whole, and its verdicts are the library's.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use rawthread::flags::{Call, Caller, CloneFlags, Fact, FlagInfo, KernelVersion, Preset};
use serde_json::{Value, json};

/// The page, written to a file of the test's own.
fn page(name: &str) -> PathBuf {
    let file = std::env::temp_dir().join(format!("lab-{}-{name}.html", std::process::id()));
    let output = explore(&["--html", file.to_str().expect("UTF-8")]);
    assert!(output.status.success());
    file
}

fn explore(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
    command.arg("explore").args(arguments);
    command.output().expect("it runs")
}

/// What a script says about the page; `None` where there is no node to run it.
fn node(script: &str, page: &PathBuf, input: &str) -> Option<Value> {
    let spawned = Command::new("node")
        .args(["-e", script, "script"])
        .arg(page)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            println!("SKIP: node is not there: {error}");
            return None;
        }
    };
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).expect("node reads");
    drop(stdin);
    let output = child.wait_with_output().expect("node ends");
    assert!(output.status.success(), "node failed");
    Some(serde_json::from_slice(&output.stdout).expect("JSON"))
}

/// xorshift64*: the same requests every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn one_of<T: Copy>(&mut self, items: &[T]) -> T {
        items[(self.roll() >> 33) as usize % items.len()]
    }
}

/// A request, as the library takes it.
struct Request {
    flags: CloneFlags,
    signal: u32,
    call: Call,
    caller: Caller,
}

fn requests() -> Vec<Request> {
    let mut dice = Dice(0x1abe_1abe_1abe_1abe);
    let kernels = [(4, 9), (5, 2), (5, 3), (5, 7), (6, 3), (6, 18), (7, 1)];
    let mut all = Vec::new();
    for _ in 0..4000 {
        let rare = dice.roll().is_multiple_of(2);
        let flags = FlagInfo::ALL.iter().fold(CloneFlags::empty(), |set, info| {
            let chance = dice.roll() >> 40 & 0xff;
            if chance < if rare { 20 } else { 80 } {
                set | info.flag
            } else {
                set
            }
        });
        let (major, minor) = dice.one_of(&kernels);
        let base = dice.one_of(&[Caller::unprivileged(), Caller::privileged()]);
        let mut caller = base.on_kernel(KernelVersion::new(major, minor, 0));
        if dice.roll().is_multiple_of(3) {
            caller = caller.with_fact(dice.one_of(Fact::ALL));
        }
        all.push(Request {
            flags,
            signal: dice.one_of(&[0, 17, 17, 10, 65, 256]),
            call: dice.one_of(&[Call::Clone, Call::Clone3]),
            caller,
        });
    }
    all
}

#[test]
fn the_pages_verdicts_are_the_librarys() {
    let page = page("verdicts");
    let requests = requests();
    let asked: Vec<_> = requests
        .iter()
        .map(|request| {
            let kernel = request.caller.kernel();
            let facts: Vec<_> = request
                .caller
                .facts()
                .map(|fact| format!("{fact:?}"))
                .collect();
            json!({
                "flags": format!("{:#x}", request.flags.bits()),
                "signal": request.signal,
                "call": if request.call == Call::Clone { "clone" } else { "clone3" },
                "kernel": [kernel.major, kernel.minor, kernel.patch],
                "facts": facts,
            })
        })
        .collect();
    let input = serde_json::to_string(&asked).expect("JSON");
    let Some(answers) = node(include_str!("explore/verdicts.test.js"), &page, &input) else {
        return;
    };
    let answers = answers.as_array().expect("a list");
    assert_eq!(answers.len(), requests.len());
    let mut refused = 0;
    for (request, answer) in requests.iter().zip(answers) {
        let Request {
            flags,
            signal,
            call,
            caller,
        } = request;
        let broken: Vec<_> = flags
            .violated_rules(*call, *signal, caller)
            .map(|rule| rule.id)
            .collect();
        assert_eq!(
            answer["broken"],
            json!(broken),
            "{flags} {signal} {call:?} {caller:?}"
        );
        refused += usize::from(!broken.is_empty());
        let effects: Vec<_> = flags
            .effects()
            .map(|(_, effect)| format!("{effect:?}"))
            .collect();
        assert_eq!(answer["effects"], json!(effects), "{flags}");
        let matching: Vec<_> = Preset::matching(*flags, *signal)
            .map(|(preset, _)| preset.id)
            .collect();
        assert_eq!(answer["matching"], json!(matching), "{flags}");
        assert_ne!(answer["c"], "");
        assert_ne!(answer["rust"], "");
    }
    assert!(refused > 100 && refused < requests.len() - 100, "{refused}");
    let _ = std::fs::remove_file(page);
}

#[test]
fn ticking_and_clicking_changes_what_is_shown() {
    let page = page("screen");
    let Some(steps) = node(include_str!("explore/dom.test.js"), &page, "") else {
        return;
    };
    let text = |step: usize, field: &str| steps[step][field].as_str().expect(field).to_owned();
    assert_eq!(text(0, "verdict"), "Accepted.");
    assert!(text(0, "kind").contains("It is a thread"));
    assert!(text(0, "matches").contains("rawthread::spawn"));
    assert!(text(0, "rust").contains("rawthread::spawn(|| 42)"));
    // The preset fork.
    assert_eq!(text(1, "verdict"), "Accepted.");
    assert!(text(1, "kind").contains("It is a process"));
    assert!(text(1, "effects").contains("memory copied"));
    assert_eq!(text(1, "hash"), "#0x0,17,clone");
    // And THREAD ticked.
    assert!(
        text(2, "verdict").contains("Rule D3"),
        "{}",
        text(2, "verdict")
    );
    // What is refused has no effects, so it only would have them.
    assert_eq!(text(1, "gets"), "What the new task gets");
    assert_eq!(text(2, "gets"), "What the new task would get");
    assert!(text(2, "kind").contains("It would be a thread"));
    let _ = std::fs::remove_file(page);
}

#[test]
fn the_page_is_self_contained() {
    let page = page("whole");
    let html = std::fs::read_to_string(&page).expect("written");
    for outside in [
        "http://", "https://", "src=", "href=", "@import", "url(", "fetch(",
    ] {
        assert!(!html.contains(outside), "{outside}");
    }
    for place in ["/*STYLE*/", "/*DATA*/", "/*LOGIC*/", "/*VIEW*/"] {
        assert!(!html.contains(place), "{place} was not filled");
    }
    assert_eq!(html.matches("</script>").count(), 1);
    for info in FlagInfo::ALL {
        assert!(html.contains(info.name), "{}", info.name);
    }
    assert!(html.contains("name=\"viewport\""), "for phones");
    let _ = std::fs::remove_file(page);
}

#[test]
fn bad_input_gets_one_line_and_status_2() {
    for arguments in [
        &[][..],
        &["--html"],
        &["page.html"],
        &["--html", "/no/such/directory/page.html"],
    ] {
        let output = explore(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}
