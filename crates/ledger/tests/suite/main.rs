//! The rules of the ledger, on hand-made passes and on random ones.

mod accounts;
mod build;
mod candidates;
mod chains;
mod diff;
mod growth;
mod kernel_ends;
mod properties;
mod release;
mod release_kernel;
mod reopen;
mod scale;
mod states;
mod totals;
mod walks;
