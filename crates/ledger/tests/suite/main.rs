//! The rules of the ledger, on hand-made passes and on random ones.

mod accounts;
mod build;
mod chains;
mod properties;
mod release;
mod scale;
mod states;
mod totals;
mod walks;
