//! The screens, as a user sees them.

mod hostile;
mod list;
mod paste;
mod why;
mod world;
