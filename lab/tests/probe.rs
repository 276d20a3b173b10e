//! `lab probe` and `lab explain`, run as a user runs them.

use std::process::{Command, Output};

use serde_json::Value;

fn lab(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lab"))
        .args(arguments)
        .output()
        .expect("it runs")
}

fn text(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("UTF-8")
}

fn json(arguments: &[&str]) -> Value {
    let output = lab(arguments);
    serde_json::from_str(text(&output)).unwrap_or_else(|error| {
        let complaint = String::from_utf8_lossy(&output.stderr);
        panic!("{arguments:?}: {error}: {}{complaint}", text(&output))
    })
}

fn cell<'a>(probe: &'a Value, aspect: &str) -> &'a Value {
    let cells = probe["cells"].as_array().expect("a list");
    cells
        .iter()
        .find(|cell| cell["aspect"] == aspect)
        .unwrap_or_else(|| panic!("{aspect} is missing in {probe}"))
}

/// Sets that the kernel takes, each flag in at least one of them.
const LEGAL: [&str; 21] = [
    "0x11",
    "vm",
    "fs",
    "files",
    "vm,sighand",
    "vm,vfork",
    "vfork",
    "parent",
    "vm,parent",
    "sysvsem",
    "io",
    "pidfd",
    "clear_sighand",
    "vm,settls",
    "parent_settid,child_settid,child_cleartid",
    "ptrace,untraced",
    "vm,sighand,thread",
    "vm,sighand,thread,fs,io",
    "vm,sighand,thread,files,sysvsem,settls",
    "vm,sighand,thread,vfork",
    "vm,fs,files,sighand,SIGUSR2",
];

#[test]
fn what_the_kernel_takes_is_as_predicted() {
    for flags in LEGAL {
        let output = lab(&["probe", flags]);
        assert!(output.status.success(), "{flags}: {}", text(&output));
        assert!(text(&output).contains("every one as predicted"), "{flags}");
    }
}

#[test]
fn new_namespaces_are_seen_where_they_may_be_made() {
    for flags in [
        "newuser,newns,newpid,newuts,newipc,newnet,newcgroup",
        "newuser,newtime",
        "newuser,newtime,vm",
        "newuser,newpid,parent",
        // Its end makes its maker ignore SIGCHLD: no zombie.
        "newuser,newpid,vm,sighand",
    ] {
        let probe = json(&["probe", flags, "--json"]);
        assert_eq!(probe["as_predicted"], true, "{probe}");
        if !probe["not_made"].is_null() {
            println!("SKIP: {}", probe["not_made"]);
            continue;
        }
        assert_eq!(cell(&probe, "user-ns")["observed"], "new", "{flags}");
    }
}

#[test]
fn what_the_kernel_refuses_is_predicted_by_its_rule() {
    for (flags, rule) in [
        ("thread", "D3"),
        ("sighand", "D4"),
        ("vm,sighand,clear_sighand", "B3"),
        ("newns,fs", "D1"),
        ("newuser,fs", "D2"),
        ("detached", "B2"),
        ("parent,SIGCHLD", "B4"),
    ] {
        let output = lab(&["probe", flags]);
        assert!(output.status.success(), "{flags}: {}", text(&output));
        assert!(text(&output).contains(&format!("rule {rule}:")), "{flags}");
        let probe = json(&["probe", flags, "--json"]);
        assert_eq!(probe["observed_errno"], libc::EINVAL, "{flags}");
        assert_eq!(probe["predicted_errno"], probe["observed_errno"]);
    }
}

#[test]
fn a_wrong_prediction_is_noticed_in_every_aspect() {
    let probe = json(&["probe", "vm,fs", "--json"]);
    for cell in probe["cells"].as_array().expect("a list") {
        if cell["observed"].is_null() {
            continue;
        }
        let aspect = cell["aspect"].as_str().expect("a text");
        let output = Command::new(env!("CARGO_BIN_EXE_lab"))
            .args(["probe", "vm,fs"])
            .env("RAWTHREAD_LAB_FALSIFY", aspect)
            .output()
            .expect("it runs");
        assert_eq!(output.status.code(), Some(1), "{aspect}");
    }
}

#[test]
fn explain_reads_what_people_paste() {
    for (pasted, flags, signal) in [
        ("CLONE_VM|CLONE_FS", "CLONE_VM|CLONE_FS", 17),
        ("vfork", "CLONE_VM|CLONE_VFORK", 17),
        ("0x1200011", "CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID", 17),
        (
            "clone3({flags=CLONE_VM|CLONE_VFORK, exit_signal=SIGCHLD, stack=0x7f}, 88) = 7",
            "CLONE_VM|CLONE_VFORK",
            17,
        ),
    ] {
        let explained = json(&["explain", pasted, "--json"]);
        assert_eq!(explained["flags"], flags, "{pasted}");
        assert_eq!(explained["exit_signal"], signal, "{pasted}");
    }
    let nptl = json(&["explain", "0x3d0f00", "--json"]);
    let users = nptl["users"].as_array().expect("a list");
    assert!(users.iter().any(|user| user["preset"] == "nptl"));
    assert!(users.iter().any(|user| user["preset"] == "rawthread"));
}

#[test]
fn explain_says_what_is_shared_and_what_is_refused() {
    let output = lab(&["explain", "vm,fs"]);
    assert!(output.status.success());
    let page = text(&output);
    let at = |part: &str| page.find(part).unwrap_or_else(|| panic!("{part}: {page}"));
    assert!(at("Shared with its maker") < at("  memory "));
    assert!(at("  memory ") < at("Copied from its maker"));
    assert!(at("Copied from its maker") < at("  descriptor table "));
    for line in page.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
    let refused = lab(&["explain", "thread"]);
    assert!(refused.status.success());
    assert!(text(&refused).contains("CLONE_THREAD needs CLONE_SIGHAND"));
    // No task is made of these flags.
    assert!(text(&refused).contains("Would be shared with its maker"));
    assert!(!page.contains("Would") && !page.contains("would be"));
    // Refused by more than one rule: the first is the answer, the others are told.
    let refused = lab(&["explain", "thread,newns,fs"]);
    let page = text(&refused);
    let first = page.find("refused by rule D1").expect(page);
    assert!(first < page.find("broken as well").expect(page));
    // A right decides: the ordinary user has none.
    let privileged = lab(&["explain", "newnet"]);
    assert!(
        text(&privileged).contains("rule F1"),
        "{}",
        text(&privileged)
    );
    for line in text(&privileged).lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
}

#[test]
fn bad_flags_get_one_line_and_status_2() {
    for arguments in [
        &["explain"][..],
        &["probe"],
        &["explain", "vm,filse"],
        &["probe", "CLONE_WM"],
        &["probe", "vm,SIGKILL"],
        &["probe", "thread,clear_sighand"],
        &["probe", "vm", "--loud"],
    ] {
        let output = lab(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}
