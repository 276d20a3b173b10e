//! A command shows itself as a shell line, as std's does.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use rawthread::process::Command;

#[test]
fn a_command_is_shown_as_a_shell_line() {
    let mut ours = Command::new("ls");
    let mut stds = std::process::Command::new("ls");
    ours.args(["-l", "a b"]);
    stds.args(["-l", "a b"]);
    assert_eq!(format!("{ours:?}"), format!("{stds:?}"));
    ours.current_dir("/tmp").env("B", "2 3").env("A", "1");
    stds.current_dir("/tmp").env("B", "2 3").env("A", "1");
    assert_eq!(format!("{ours:?}"), format!("{stds:?}"));
    ours.env_remove("B");
    stds.env_remove("B");
    assert_eq!(format!("{ours:?}"), format!("{stds:?}"));
    ours.env_clear().env("C", "4");
    stds.env_clear().env("C", "4");
    assert_eq!(format!("{ours:?}"), format!("{stds:?}"));
    assert_eq!(
        format!("{ours:?}"),
        r#"cd "/tmp" && env -i C="4" "ls" "-l" "a b""#
    );
}

/// What a shell makes of the line is what the command would have done.
#[test]
fn a_shell_reads_the_line_as_it_was_meant() {
    let words: [&[u8]; 12] = [
        b"$HOME $$ ${PATH} $(id) `id`",
        b"it's",
        b"\"quoted\"",
        b"back\\slash\\",
        b"",
        b"*",
        b"a;b|c&d>e<f#g",
        b"~",
        "h\u{e4}\u{1f600}".as_bytes(),
        b"line\nline\ttab\x7f",
        b"\xff\xfe and \xc3",
        b"\x01f",
    ];
    // dash reads no `$'...'`.
    let shell = ["/bin/bash", "/usr/bin/bash"]
        .iter()
        .find(|path| std::path::Path::new(path).exists());
    let Some(shell) = shell else {
        println!("SKIP: no bash here");
        return;
    };
    let mut command = Command::new("printf");
    command
        .current_dir("/tmp")
        .env("VALUE", "$HOME `id` it's")
        .arg("%s\\0");
    for word in words {
        command.arg(OsStr::from_bytes(word));
    }
    let line = format!("{command:?}");
    assert!(!line.contains('\n'), "{line}");
    let output = std::process::Command::new(shell)
        .args(["-c", &line])
        .output()
        .unwrap();
    let wanted: Vec<u8> = words
        .iter()
        .flat_map(|word| [word, &b"\0"[..]].concat())
        .collect();
    assert_eq!(
        output.stdout.escape_ascii().to_string(),
        wanted.escape_ascii().to_string(),
        "{line}"
    );
}
