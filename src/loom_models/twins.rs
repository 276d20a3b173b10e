//! The broken twins of the models: each is a model on the code itself, with one fault of [`super::weak`].
//!
//! A fault weakens each call of its operation in its file. Where one among several is in question,
//! `ci/mutants/models.txt` has the edit.

use std::process::Command;
use std::string::String;
use std::vec::Vec;

/// An access that nothing orders.
const RACE: &str = "Causality violation";
/// A wake or a message that never comes.
const LOST: &str = "deadlock";
/// The same of a thread that looks again and again.
const ENDLESS: &str = "exceeded maximum number of branches";
/// An assertion of the model's.
const WRONG: &str = "panicked at src/";

/// A model, the fault of its twin, and what is found.
#[rustfmt::skip]
const TWINS: &[(&str, &str, &str)] = &[
    // arena: the list of free entries, and growth.
    ("arena::an_entry_has_one_holder_who_sees_what_the_last_one_wrote", "treiber.rs compare_exchange release", RACE),
    ("arena::an_entry_has_one_holder_who_sees_what_the_last_one_wrote", "treiber.rs compare_exchange acquire", RACE),
    ("arena::a_slow_popper_takes_no_entry_that_another_holds", "treiber.rs compare_exchange torn", RACE),
    ("arena::two_threads_grow_an_arena_once", "growth.rs compare_exchange release", RACE),
    ("arena::two_threads_grow_an_arena_once", "growth.rs load acquire", RACE),
    ("arena::two_threads_grow_an_arena_once", "growth.rs compare_exchange torn", WRONG),
    ("arena::two_threads_take_two_indices", "growth.rs fetch_add torn", WRONG),
    // Words of threads: whose the result and the slot are, pins, a task's joiner.
    ("thread::a_dropped_handle_and_its_thread_free_slot_and_result_once", "state.rs fetch_add release", RACE),
    ("thread::a_dropped_handle_and_its_thread_free_slot_and_result_once", "state.rs fetch_add acquire", RACE),
    ("thread::a_dropped_handle_and_its_thread_free_slot_and_result_once", "state.rs fetch_update release", RACE),
    ("thread::a_dropped_handle_and_its_thread_free_slot_and_result_once", "state.rs fetch_update torn", WRONG),
    ("thread::a_joiner_takes_slot_and_result_from_a_thread_that_is_done", "state.rs load acquire", RACE),
    ("thread::a_joiner_takes_slot_and_result_from_a_thread_that_is_done", "state.rs fetch_add torn", ENDLESS),
    ("thread::a_joiner_of_a_task_gives_up_or_takes_the_packet", "state.rs fetch_or acquire", RACE),
    ("thread::a_joiner_of_a_task_is_woken_when_it_is_done", "state.rs fetch_add torn", LOST),
    ("thread::a_joiner_of_a_task_is_woken_when_it_is_done", "futex wait blind", LOST),
    ("thread::a_joiner_of_a_task_is_woken_when_it_is_done", "futex wake none", LOST),
    ("ends::a_thread_does_not_end_while_its_tid_is_in_use", "state.rs fetch_update release", RACE),
    ("ends::a_thread_does_not_end_while_its_tid_is_in_use", "state.rs load acquire", RACE),
    ("ends::a_thread_does_not_end_while_its_tid_is_in_use", "state.rs fetch_add torn", RACE),
    // Futures and sets.
    ("thread::a_future_has_the_result_or_its_last_waker_is_called", "state.rs fetch_update release", RACE),
    ("thread::a_future_has_the_result_or_its_last_waker_is_called", "state.rs fetch_update torn", WRONG),
    ("thread::a_dropped_future_and_its_thread_free_waker_slot_and_result_once", "state.rs fetch_update release", RACE),
    ("thread::a_set_that_is_polled_finds_its_threads_or_is_woken", "set_waker.rs compare_exchange acquire", RACE),
    ("thread::a_set_that_is_polled_finds_its_threads_or_is_woken", "set_waker.rs fetch_or torn", RACE),
    ("thread::a_set_that_is_polled_finds_its_threads_or_is_woken", "set_waker.rs swap release", RACE),
    ("thread::a_set_collects_every_thread_once", "completion_queue.rs compare_exchange release", RACE),
    ("thread::a_set_collects_every_thread_once", "completion_queue.rs swap acquire", RACE),
    ("thread::a_set_collects_every_thread_once", "completion_queue.rs swap torn", LOST),
    ("thread::a_set_collects_every_thread_once", "completion_queue.rs compare_exchange torn", LOST),
    ("thread::a_set_collects_every_thread_once", "futex wait blind", LOST),
    ("ends::a_set_and_its_threads_free_its_memory_once", "set_counts.rs fetch_sub acquire", RACE),
    ("ends::a_set_and_its_threads_free_its_memory_once", "set_counts.rs fetch_sub release", RACE),
    ("ends::a_set_and_its_threads_free_its_memory_once", "set_counts.rs fetch_sub torn", WRONG),
    ("ends::a_set_and_its_threads_free_its_memory_once", "set_counts.rs swap release", RACE),
    ("ends::a_set_and_its_threads_free_its_memory_once", "set_counts.rs swap torn", WRONG),
    // Scopes.
    ("thread::a_scope_ends_after_its_last_thread", "scope_data.rs fetch_sub release", RACE),
    ("thread::a_scope_ends_after_its_last_thread", "scope_data.rs fetch_sub torn", LOST),
    ("thread::a_scope_ends_after_its_last_thread", "scope_data.rs load acquire", RACE),
    ("thread::a_scope_ends_after_its_last_thread", "futex wake none", LOST),
    // warm: messages to idle threads.
    ("pool::a_task_is_taken_or_refused", "futex_handoff.rs compare_exchange release", WRONG),
    ("pool::a_task_is_taken_or_refused", "futex_handoff.rs load acquire", WRONG),
    ("pool::a_task_is_taken_or_refused", "futex_handoff.rs compare_exchange torn", WRONG),
    ("pool::an_idle_thread_gets_all_it_is_given", "futex wait blind", LOST),
    // Parking.
    ("park::a_token_ends_a_park_on_the_word", "parker.rs compare_exchange acquire", RACE),
    ("park::a_token_ends_a_park_on_the_word", "parker.rs compare_exchange release", RACE),
    ("park::a_token_ends_a_park_on_the_word", "parker.rs compare_exchange torn", LOST),
    ("park::a_token_ends_a_park_on_the_word", "futex wait blind", LOST),
    ("park::no_token_is_lost_at_the_hand_over", "parker.rs swap acquire", LOST),
    ("park::no_token_is_lost_at_the_hand_over", "parker.rs swap release", RACE),
    ("park::no_token_is_lost_at_the_hand_over", "parker.rs swap torn", LOST),
    ("park::no_token_is_lost_when_it_is_taken_back", "parker.rs compare_exchange release", LOST),
    ("park::a_token_that_was_taken_back_is_the_other_parkers_too", "parker.rs compare_exchange release", LOST),
    ("park::a_token_that_was_taken_back_is_the_other_parkers_too", "parker.rs load acquire", LOST),
    // What a new thread, a donor, a child process tells its maker.
    ("start::a_spawner_waits_until_the_thread_is_set_up", "answer.rs store release", RACE),
    ("start::a_spawner_waits_until_the_thread_is_set_up", "answer.rs load acquire", RACE),
    ("start::a_spawner_gets_the_error_of_the_step_that_failed", "futex wait blind", LOST),
    ("start::a_creator_sees_what_the_donor_left", "answer.rs store release", RACE),
    ("start::a_creator_sees_what_the_donor_left", "answer.rs load acquire", RACE),
    ("start::a_creator_sees_what_the_donor_left", "futex wake none", LOST),
    ("start::a_child_has_its_closure_or_leaves_it_to_the_parent", "answer.rs store release", RACE),
    ("start::a_child_has_its_closure_or_leaves_it_to_the_parent", "answer.rs load acquire", RACE),
    // setuid, the loader's gate, the dumpable mark.
    ("setxid::a_thread_that_saw_no_mark_is_sent_no_signal", "setxid.rs fetch_or release", WRONG),
    ("setxid::a_thread_that_saw_no_mark_is_sent_no_signal", "setxid.rs fetch_or look", WRONG),
    ("setxid::a_thread_that_begins_amid_setuid_has_the_new_ids", "setxid.rs fetch_or look", WRONG),
    ("setxid::a_thread_that_begins_amid_setuid_has_the_new_ids_in_the_other_order", "setxid.rs fetch_or release", WRONG),
    ("loader_gate::a_fork_and_a_reader_keep_apart_and_both_go_on", "loader_gate.rs fetch_add release", LOST),
    ("loader_gate::a_fork_and_a_reader_keep_apart_and_both_go_on", "loader_gate.rs fetch_add look", LOST),
    ("loader_gate::a_fork_and_a_reader_keep_apart_and_both_go_on", "loader_gate.rs fetch_add acquire", LOST),
    ("loader_gate::a_fork_and_a_reader_keep_apart_and_both_go_on", "futex wait blind", LOST),
    ("loader_gate::a_reader_that_may_not_wait_goes_away", "loader_gate.rs fetch_add release", LOST),
    ("dumpable::the_last_child_puts_the_mark_back", "dumpable.rs compare_exchange release", WRONG),
    ("dumpable::the_last_child_puts_the_mark_back", "dumpable.rs compare_exchange torn", RACE),
    ("dumpable::the_last_child_puts_the_mark_back", "dumpable.rs store release", RACE),
    ("dumpable::a_forked_process_takes_over_neither_the_count_nor_the_mark", "dumpable.rs compare_exchange acquire", WRONG),
    // sync.
    ("sync::mutex", "raw/mutex.rs compare_exchange acquire", RACE),
    ("sync::mutex", "raw/mutex.rs swap release", RACE),
    ("sync::mutex", "raw/mutex.rs swap acquire", RACE),
    ("sync::mutex", "raw/mutex.rs swap torn", LOST),
    ("sync::mutex", "futex wait blind", LOST),
    ("sync::mutex", "futex wake none", LOST),
    ("sync::mutex_try_lock", "raw/mutex.rs compare_exchange acquire", RACE),
    ("sync::condvar_notify_one", "futex wait blind", LOST),
    ("sync::condvar_notify_all", "futex wake one", LOST),
    ("sync::condvar_timeout", "futex wake none", LOST),
    ("sync::rwlock_writers", "raw/rwlock.rs compare_exchange acquire", RACE),
    ("sync::rwlock_writers", "raw/rwlock.rs fetch_sub release", RACE),
    ("sync::rwlock_readers", "raw/rwlock.rs fetch_sub release", RACE),
    ("sync::rwlock_readers", "raw/rwlock.rs compare_exchange torn", RACE),
    ("sync::rwlock_downgrade", "raw/rwlock.rs fetch_sub release", RACE),
    ("sync::rwlock_downgrade_lets_readers_in", "futex wait blind", LOST),
    ("sync::once", "raw/once.rs swap release", RACE),
    ("sync::once", "raw/once.rs load acquire", RACE),
    ("sync::once", "raw/once.rs compare_exchange torn", RACE),
    ("sync::once_wait", "futex wait blind", LOST),
    ("sync::once_wait", "futex wake one", LOST),
    ("sync::once_poisoned", "raw/once.rs compare_exchange acquire", RACE),
    ("sync::once_lock", "raw/once.rs swap release", RACE),
    ("sync::lazy_lock", "raw/once.rs load acquire", RACE),
    ("sync::barrier", "raw/barrier.rs fetch_add release", RACE),
    ("sync::barrier", "raw/barrier.rs fetch_add acquire", RACE),
    ("sync::barrier_again", "raw/barrier.rs load acquire", RACE),
    ("sync::barrier_overlap", "futex wait blind", LOST),
    ("sync::semaphore_as_lock", "raw/semaphore.rs compare_exchange acquire", RACE),
    ("sync::semaphore_as_lock", "raw/semaphore.rs compare_exchange release", RACE),
    ("sync::semaphore_two_sleepers", "raw/semaphore.rs compare_exchange torn", LOST),
    ("sync::semaphore_two_sleepers", "futex wait blind", LOST),
    ("sync::semaphore_timeout", "futex wait blind", LOST),
];

/// A model that passes with its fault shows nothing; so does a fault at a place that is not there.
#[test]
fn each_broken_twin_fails() {
    let mut wrong = Vec::new();
    for (model, fault, found) in TWINS {
        // Loom may abort after it has found something.
        let output = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                &std::format!("loom_models::{model}"),
                "--nocapture",
            ])
            .env("RAWTHREAD_MODEL_FAULT", fault)
            .env("RUST_BACKTRACE", "0")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        if output.status.success() || !text.contains(found) {
            wrong.push(std::format!("{model} with {fault}: {text}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Each model has a twin, but for the twins that are written out.
#[test]
fn each_model_has_a_broken_twin() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--list", "loom_models::"])
        .output()
        .unwrap();
    let list = String::from_utf8(output.stdout).unwrap();
    for model in list.lines().filter_map(|line| line.strip_suffix(": test")) {
        let model = model.strip_prefix("loom_models::").unwrap();
        let has_twin = TWINS.iter().any(|(name, ..)| *name == model);
        let is_twin = WRITTEN_OUT.contains(&model) || model.starts_with("twins::");
        assert!(has_twin != is_twin, "{model}");
    }
}

/// The twins that are no weaker operations, but other steps.
const WRITTEN_OUT: [&str; 7] = [
    "arena::a_list_without_a_count_of_pops_gives_an_entry_twice",
    "arena::an_arena_that_grows_without_an_exchange_loses_memory",
    "ends::a_count_of_users_in_two_steps_frees_twice_or_never",
    "ends::a_thread_that_waits_for_no_pin_ends_amid_a_call",
    "loader_gate::a_reader_that_looks_before_it_is_announced_meets_a_fork",
    "setxid::a_spawner_that_does_not_wait_makes_a_thread_of_old_ids",
    "thread::a_waker_that_is_set_after_a_look_is_lost",
];
