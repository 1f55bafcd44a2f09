//! Tests of the engine kit from outside.

mod checker;
mod clock;
mod cluster;
mod late;
mod memory;
mod recording;
mod run;
mod wrong;
