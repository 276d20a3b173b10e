//! What the guide quotes is what the lab prints: every command in `docs/guide` is run, and its output
//! compared with the lines below it. Numbers, addresses and line breaks may differ.
//!
//! After a change of the lab's words, `RAWTHREAD_GUIDE=write cargo test -p rawthread-lab --test guide`
//! writes the present output into the chapters.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A fence with the word `console`, and what must be there for its commands.
struct Block {
    needs: Vec<String>,
    steps: Vec<Step>,
    /// The line of its first step, from 0.
    first: usize,
    /// The number of lines between the fences.
    len: usize,
}

/// A command and the output below it.
struct Step {
    command: String,
    quoted: String,
}

/// A chapter of the guide.
struct Chapter {
    path: PathBuf,
    text: String,
}

fn chapters() -> Vec<Chapter> {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide");
    let entries = fs::read_dir(guide).expect("the guide");
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    paths.sort();
    let read = |path: PathBuf| Chapter {
        text: fs::read_to_string(&path).expect("text"),
        path,
    };
    paths.into_iter().map(read).collect()
}

/// Every fenced block: its info string, the number of its first line, and its lines.
fn fences(text: &str) -> Vec<(&str, usize, Vec<&str>)> {
    let mut found: Vec<(&str, usize, Vec<&str>)> = Vec::new();
    let mut open = false;
    for (number, line) in text.lines().enumerate() {
        match line.strip_prefix("```") {
            Some("") if open => open = false,
            Some(info) => {
                open = true;
                found.push((info, number + 1, Vec::new()));
            }
            None if open => found.last_mut().expect("an open fence").2.push(line),
            None => {}
        }
    }
    assert!(!open, "a fence that is not closed");
    found
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    for (info, first, lines) in fences(text) {
        let mut words = info.split_whitespace();
        if words.next() != Some("console") {
            continue;
        }
        let mut steps: Vec<Step> = Vec::new();
        for line in &lines {
            match (line.strip_prefix("$ "), steps.last_mut()) {
                (Some(command), _) => steps.push(Step {
                    command: command.to_owned(),
                    quoted: String::new(),
                }),
                (None, Some(step)) => step.quoted += &format!("{line}\n"),
                (None, None) => panic!("output before a command: {line}"),
            }
        }
        blocks.push(Block {
            needs: words.map(str::to_owned).collect(),
            steps,
            first,
            len: lines.len(),
        });
    }
    blocks
}

/// Writes the chapter's programs (fences such as "c naive.c") into a new directory.
fn programs(text: &str, name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("guide-{name}"));
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).expect("a directory for programs");
    for (info, _, lines) in fences(text) {
        if let Some((_, file)) = info.split_once(' ').filter(|(kind, _)| *kind != "console") {
            fs::write(directory.join(file), lines.join("\n") + "\n").expect("a program");
        }
    }
    directory
}

/// What the command prints, both streams together, as a shell in `directory` has it.
fn run(command: &str, directory: &Path) -> String {
    let lab = Path::new(env!("CARGO_BIN_EXE_lab")).parent().unwrap();
    let path = format!("{}:{}", lab.display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh")
        .args(["-c", &format!("ulimit -c 0; exec 2>&1; {command}")])
        .current_dir(directory)
        .env("PATH", path)
        .output()
        .expect("a shell");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn is_there(need: &str) -> bool {
    match need {
        // The owner of the process's directory is its effective user.
        "root" => {
            use std::os::unix::fs::MetadataExt;
            fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
        }
        "glibc" => Command::new("getconf")
            .arg("GNU_LIBC_VERSION")
            .output()
            .is_ok_and(|output| output.status.success()),
        "ptrace" => Command::new(env!("CARGO_BIN_EXE_lab"))
            .args(["trace", "--", "true"])
            .output()
            .is_ok_and(|output| output.status.success()),
        tool => Command::new(tool).arg("version").output().is_ok(),
    }
}

/// The words of an output. Numbers, addresses and times become "N"; where lines break is forgotten.
/// Of a shell's message on a fault, which differs from shell to shell, the two common words are left.
fn shape(text: &str) -> Vec<String> {
    let fault = "Segmentation fault";
    let lines = text
        .lines()
        .map(|line| if line.contains(fault) { fault } else { line });
    lines
        .flat_map(str::split_whitespace)
        .map(word_shape)
        .collect()
}

/// Whether the lab says that it could not see something here.
fn lacks_something(printed: &str) -> bool {
    printed.contains("not shown here") || printed.split_whitespace().any(|word| word == "-")
}

fn word_shape(word: &str) -> String {
    let mut shape = String::new();
    let mut rest = word;
    while let Some(first) = rest.chars().next() {
        let after_letter = shape.ends_with(|last: char| last.is_alphabetic() && last != 'N');
        if let Some(hex) = rest.strip_prefix("0x") {
            let len = hex.chars().take_while(char::is_ascii_hexdigit).count();
            // Flags are shorter than addresses, and are compared.
            shape += if len > 8 { "N" } else { &rest[..len + 2] };
            rest = &hex[len..];
        } else if first.is_ascii_digit() && !after_letter {
            rest = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
            for unit in ["ns", "µs", "ms", "s"] {
                if let Some(after) = rest.strip_prefix(unit) {
                    rest = after;
                    break;
                }
            }
            shape.push('N');
        } else {
            shape.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    shape
}

#[test]
fn every_output_in_the_guide_is_what_its_command_prints() {
    let write = std::env::var_os("RAWTHREAD_GUIDE").is_some_and(|value| value == "write");
    let (mut compared, mut wrong) = (0, Vec::new());
    for Chapter { path, text } in chapters() {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let directory = programs(&text, name);
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        // From the last to the first, so that line numbers stay true while blocks are replaced.
        for block in blocks(&text).iter().rev() {
            if let Some(missing) = block.needs.iter().find(|need| !is_there(need)) {
                let command = &block.steps[0].command;
                println!("SKIP: {name}: \"{command}\" needs {missing}");
                continue;
            }
            let mut present = Vec::new();
            for Step { command, quoted } in &block.steps {
                let printed = run(command, &directory).trim_end().to_owned() + "\n";
                compared += 1;
                let same = shape(&printed) == shape(quoted);
                if !same && lacks_something(&printed) && !lacks_something(quoted) {
                    println!("SKIP: {name}: \"{command}\": a right or a feature is missing here");
                } else if !same {
                    wrong.push(format!(
                        "{name}: {command}\nprints:\n{printed}\nthe guide has:\n{quoted}"
                    ));
                }
                present.push(format!("$ {command}"));
                present.extend(printed.lines().map(str::to_owned));
            }
            lines.splice(block.first..block.first + block.len, present);
        }
        if write {
            fs::write(&path, lines.join("\n") + "\n").expect("the chapter");
        }
    }
    assert!(
        compared > 0 || cfg!(not(target_os = "linux")),
        "nothing was run"
    );
    assert!(wrong.is_empty() || write, "{}", wrong.join("\n---\n"));
}

/// The text of an SVG picture's lines.
fn text_of_svg(svg: &str) -> String {
    let lines = svg.lines().filter(|line| line.starts_with("<text"));
    let mut text = String::new();
    for line in lines {
        for piece in line.split('<') {
            text += piece.split_once('>').map_or("", |(_, after)| after);
        }
        text.push('\n');
    }
    text.replace("&lt;", "<").replace("&amp;", "&")
}

#[test]
fn the_recorded_tour_is_the_tour() {
    let picture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/figures/tour.svg");
    let recorded = text_of_svg(&fs::read_to_string(picture).unwrap());
    let printed = format!("$ lab tour\n{}", run("lab tour", Path::new("/")));
    // A cell of the container is never observed: its semaphores are in its own namespace.
    let unobserved = |text: &str| text.split_whitespace().filter(|word| *word == "-").count();
    if unobserved(&printed) > unobserved(&recorded) {
        println!("SKIP: a right or a feature is missing here");
        return;
    }
    assert_eq!(
        shape(&recorded),
        shape(&printed),
        "ci/record-tour.sh records it again; prints:\n{printed}"
    );
}

/// The files that a text links to, by inline links, pictures and definitions at the beginning of a line.
fn linked_files(text: &str) -> Vec<&str> {
    let inline = text.split("](").skip(1);
    let inline = inline.map(|rest| rest.split(')').next().unwrap_or(""));
    let defined = text.lines().filter(|line| line.starts_with('['));
    let defined = defined.filter_map(|line| line.split_once("]: ").map(|(_, to)| to));
    inline
        .chain(defined)
        .filter(|to| !to.contains("://") && !to.contains(char::is_whitespace))
        .map(|to| to.split('#').next().unwrap_or(""))
        .filter(|to| to.ends_with(".md") || to.ends_with(".svg") || to.starts_with("docs/"))
        .collect()
}

#[test]
fn every_link_leads_to_a_file() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut seen = 0;
    for directory in ["", "docs", "docs/guide", "lab"] {
        let directory = root.join(directory);
        for entry in fs::read_dir(&directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.extension().is_none_or(|extension| extension != "md") {
                continue;
            }
            let text = fs::read_to_string(&path).expect("text");
            for link in linked_files(&text) {
                seen += 1;
                let there = directory.join(link);
                // `ci/figures.sh` draws the others where the machine is at rest.
                let drawn = link.contains("figures/") && !link.contains("tour");
                assert!(
                    drawn || there.exists(),
                    "{} links to {link}",
                    path.display()
                );
            }
        }
    }
    assert!(seen > 20, "{seen} links");
}

#[test]
fn the_contents_name_every_chapter_and_so_does_rustdoc() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let contents = fs::read_to_string(root.join("docs/guide/README.md")).unwrap();
    let module = fs::read_to_string(root.join("src/guide.rs")).unwrap();
    for Chapter { path, .. } in chapters() {
        let file = path.file_name().unwrap().to_str().unwrap();
        if file != "README.md" {
            assert!(module.contains(&format!("guide/{file}\"")), "{file}");
            assert!(contents.contains(file), "{file}");
        }
    }
}

#[test]
fn words_are_compared_and_numbers_are_not() {
    assert_eq!(shape("pid 31002, took 44.4µs"), ["pid", "N,", "took", "N"]);
    assert_eq!(shape("0x7f8bd38d66c8 0x3d0f00"), ["N", "0x3d0f00"]);
    assert_eq!(shape("clone3 SIGUSR2"), ["clone3", "SIGUSR2"]);
    assert_ne!(shape("✓ one table"), shape("✗ one table"));
}
