//! Waiting for a process group whose members have handles of their own.

use rawthread::process::{Child, Command};

use crate::common::{in_subprocess, poll_until};
use crate::util::state_of;

/// A child that ends with `code` at once, in the group of `leader`, known by number or by pidfd.
fn member(leader: &Child, pidfd: bool, code: u32) -> Child {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("exit {code}")]);
    command.process_group(leader.pid()).pidfd(pidfd);
    command.spawn().unwrap()
}

fn leader(script: &str, pidfd: bool) -> Child {
    let mut command = Command::new("sh");
    command.args(["-c", script]).process_group(0).pidfd(pidfd);
    command.spawn().unwrap()
}

/// Its handle would signal, and wait for, the process that gets the number next.
#[test]
fn a_group_leaves_a_child_that_is_known_by_number() {
    if !in_subprocess("groups::a_group_leaves_a_child_that_is_known_by_number") {
        return;
    }
    for pidfd in [true, false] {
        let mut leader = leader("exit 3", pidfd);
        let mut member = member(&leader, false, 4);
        poll_until("the member ends", || state_of(member.pid()) == Some('Z'));
        let error = leader.wait_group().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EBUSY), "{error}");
        assert_eq!(state_of(member.pid()), Some('Z'), "its number is its own");
        member.kill().unwrap();
        assert_eq!(member.wait().unwrap().code(), Some(4));
        assert_eq!(leader.wait_group().unwrap().code(), Some(3));
    }
}

/// The count goes back to none when such children were reaped, by their handles or by a reaper.
#[test]
fn a_group_is_reaped_again_once_no_child_is_known_by_number() {
    if !in_subprocess("groups::a_group_is_reaped_again_once_no_child_is_known_by_number") {
        return;
    }
    let by_number = || {
        let mut command = Command::new("sleep");
        command.arg("0.1").pidfd(false).spawn().unwrap()
    };
    let mut waited = by_number();
    waited.kill().unwrap();
    waited.wait().unwrap();
    let dropped = by_number();
    let pid = dropped.pid();
    drop(dropped);
    poll_until("a reaper reaps it", || state_of(pid).is_none());
    assert!(Command::new("/no/such").pidfd(false).spawn().is_err());
    // What status and output wait for is not known by number.
    assert!(Command::new("true").status().unwrap().success());
    for pidfd in [true, false] {
        // The reaper counts until after its call.
        poll_until("the group is reaped", || {
            let mut leader = leader("exit 3", pidfd);
            let member = member(&leader, true, 4);
            match leader.wait_group() {
                Ok(status) => {
                    assert_eq!(status.code(), Some(3));
                    assert_eq!(state_of(member.pid()), None, "a member is left");
                    true
                }
                Err(error) => {
                    assert_eq!(error.raw_os_error(), Some(libc::EBUSY), "{error}");
                    false
                }
            }
        });
    }
}
