//! What the feature `lock_api` adds.

pub fn lock(lock: &rawthread::sync::RawMutex) -> &rawthread::sync::RawMutex {
    lock
}
