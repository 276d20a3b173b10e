//! Alignments beyond a page, of what lives in memory of this crate's.

use super::run_both;

#[test]
fn values_closures_and_results_may_be_aligned_beyond_a_page() {
    run_both("aligned", &[], 0, "aligned\n");
}
