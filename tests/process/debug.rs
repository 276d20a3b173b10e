//! A command shows itself as a shell line, as std's does.

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
