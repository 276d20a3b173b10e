//! All results of a set at once, for which memory is allocated. With the feature `alloc`.

use alloc::vec::Vec;

use super::join::result::Result;
use super::set::JoinSet;
use crate::diagnosis;
use crate::error::Error;
use crate::sys::Errno;

impl<T> JoinSet<T> {
    /// Waits for all threads of the set and returns their results, in the order in which the threads
    /// ended. The set is empty then and can be used again. Feature `alloc`.
    ///
    /// # Panics
    /// Where [`JoinSet::try_join_all`] returns an error. As [`JoinSet::join_next`].
    ///
    /// ```
    /// let mut set = rawthread::JoinSet::new();
    /// for n in 0..10 {
    ///     set.spawn(move || n);
    /// }
    /// let sum: i32 = set.join_all().into_iter().map(|n| n.unwrap()).sum();
    /// assert_eq!(sum, 45);
    /// ```
    #[track_caller]
    pub fn join_all(&mut self) -> Vec<Result<T>> {
        match self.try_join_all() {
            Ok(results) => results,
            Err(error) => panic!("failed to join threads: {error}"),
        }
    }

    /// Waits for all threads as [`JoinSet::join_all`] does, but returns an error where there is no memory for
    /// so many results. Then no thread was joined. Feature `alloc`.
    ///
    /// # Errors
    /// [`Limit`](crate::ErrorKind::Limit). [`JoinSet::join_next`] needs no memory.
    ///
    /// # Panics
    /// As [`JoinSet::join_next`].
    ///
    /// ```
    /// let mut set = rawthread::JoinSet::new();
    /// set.spawn(|| 7);
    /// assert_eq!(set.try_join_all()?.len(), 1);
    /// # Ok::<(), rawthread::Error>(())
    /// ```
    #[track_caller]
    pub fn try_join_all(&mut self) -> core::result::Result<Vec<Result<T>>, Error> {
        let mut results = Vec::new();
        results.try_reserve_exact(self.len()).map_err(|_| {
            diagnosis::map_error(Errno::ENOMEM, self.len() * size_of::<Result<T>>())
        })?;
        // A loop, so that a panic is reported at the caller's place.
        while let Some(result) = self.join_next() {
            results.push(result);
        }
        Ok(results)
    }
}
