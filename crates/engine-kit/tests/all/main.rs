//! Tests of the engine kit from outside.

mod checker;
mod clock;
mod memory;
mod recording;
mod run;
