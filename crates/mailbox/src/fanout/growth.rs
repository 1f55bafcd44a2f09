//! Vectors that grow by an eighth: there are many of them, so what they reserve counts.

/// Puts a value in at the end. At most a ninth of the vector's memory, or one place, is free afterwards.
pub(super) fn push<T>(all: &mut Vec<T>, value: T) {
    if all.len() == all.capacity() {
        all.reserve_exact((all.len() / 8).max(1));
    }
    all.push(value);
}
