//! The screens, as a user sees them.

mod diff;
mod explain;
mod hostile;
mod kernel;
mod kernel_world;
mod list;
mod paste;
mod screen;
mod why;
mod world;
