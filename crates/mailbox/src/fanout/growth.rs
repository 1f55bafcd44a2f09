//! Vectors that grow by half: there are many small ones, so what they reserve counts.

/// Puts a value in at the end. At most a third of the vector's memory is free afterwards.
pub(super) fn push<T>(all: &mut Vec<T>, value: T) {
    if all.len() == all.capacity() {
        all.reserve_exact((all.len() / 2).max(1));
    }
    all.push(value);
}
