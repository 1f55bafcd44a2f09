//! Tests of the engine kit from outside.

mod checker;
mod recording;
